//! A core module, read.

use std::collections::HashMap;

use anyhow::{Result, bail};
use wasmparser::{
    Data, Element, ExternalKind, FuncType, FunctionBody, Global, MemoryType, Parser, Payload,
    Table, TypeRef,
};

/// What a module holds, in the order of its index spaces.
#[derive(Default)]
pub(crate) struct Module<'a> {
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Imports<'a>,
    /// The type of each function that it defines.
    pub(crate) functions: Vec<u32>,
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    pub(crate) tables: Vec<Table<'a>>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<Global<'a>>,
    pub(crate) elements: Vec<Element<'a>>,
    pub(crate) data: Vec<Data<'a>>,
    pub(crate) exports: HashMap<&'a str, (ExternalKind, u32)>,
}

/// What it imports: module and name, for each index space.
#[derive(Default)]
pub(crate) struct Imports<'a> {
    /// With the type.
    pub(crate) functions: Vec<(&'a str, &'a str, u32)>,
    pub(crate) tables: Vec<(&'a str, &'a str)>,
    pub(crate) memories: Vec<(&'a str, &'a str)>,
    pub(crate) globals: Vec<(&'a str, &'a str)>,
}

impl<'a> Imports<'a> {
    /// The import that an index stands for, unless it stands for a definition.
    pub(crate) fn get(&self, kind: ExternalKind, index: u32) -> Option<(&'a str, &'a str)> {
        let index = index as usize;
        match kind {
            ExternalKind::Func => self.functions.get(index).map(|(from, name, _)| (*from, *name)),
            ExternalKind::Table => self.tables.get(index).copied(),
            ExternalKind::Memory => self.memories.get(index).copied(),
            ExternalKind::Global => self.globals.get(index).copied(),
            _ => None,
        }
    }

    /// How many there are of a kind.
    pub(crate) fn count(&self, kind: ExternalKind) -> u32 {
        let count = match kind {
            ExternalKind::Func => self.functions.len(),
            ExternalKind::Table => self.tables.len(),
            ExternalKind::Memory => self.memories.len(),
            _ => self.globals.len(),
        };
        u32::try_from(count).expect("it was read from a file of less")
    }
}

/// Reads a module.
pub(crate) fn read(bytes: &[u8]) -> Result<Module<'_>> {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    module.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let name = (import.module, import.name);
                    let imports = &mut module.imports;
                    match import.ty {
                        TypeRef::Func(ty) => imports.functions.push((name.0, name.1, ty)),
                        TypeRef::Table(_) => imports.tables.push(name),
                        TypeRef::Memory(_) => imports.memories.push(name),
                        TypeRef::Global(_) => imports.globals.push(name),
                        other => bail!("an import of {other:?} is not understood"),
                    }
                }
            }
            Payload::FunctionSection(section) => {
                module.functions = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::TableSection(section) => {
                module.tables = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::MemorySection(section) => {
                module.memories = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::GlobalSection(section) => {
                module.globals = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::ElementSection(section) => {
                module.elements = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::DataSection(section) => {
                module.data = section.into_iter().collect::<Result<_, _>>()?;
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    module.exports.insert(export.name, (export.kind, export.index));
                }
            }
            Payload::CodeSectionEntry(body) => module.bodies.push(body),
            Payload::StartSection { .. } | Payload::TagSection(_) => {
                bail!("a start function or a tag is not understood")
            }
            // Names and notes are for people.
            _ => {}
        }
    }
    Ok(module)
}
