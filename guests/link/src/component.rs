//! The component around the modules: what is joined, and how the rest refers to it.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, bail};
use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, RoundtripReencoder};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, Component, ComponentAliasSection, ExportKind, InstanceSection,
    ModuleArg, RawSection,
};
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentType, Encoding, ExternalKind,
    Instance, Parser, Payload, Validator,
};

use crate::join::{Join, Joined, Lost, Place, Target, space};
use crate::module;

/// Joins the core modules of a component.
pub(crate) fn link(bytes: &[u8]) -> Result<Vec<u8>> {
    // From here on every index leads somewhere.
    Validator::new().validate_all(bytes).context("it is not valid")?;
    let parts = Parts::read(bytes)?;
    let linker = Linker::new(&parts)?;
    linker.write()
}

/// A part of a component, in its order.
enum Part<'a> {
    /// Copied as it is.
    Raw(u8, &'a [u8]),
    Alias(ComponentAlias<'a>),
    /// With its number in the space of core functions, if it makes one.
    Canon(CanonicalFunction, Option<u32>),
    /// An instance, by its number.
    Instance(u32),
}

/// Where a core item comes from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Canon,
    Export(u32, &'a str),
}

#[derive(Default)]
struct Parts<'a> {
    order: Vec<Part<'a>>,
    modules: Vec<&'a [u8]>,
    instances: Vec<Instance<'a>>,
    /// Functions, tables, memories, globals.
    origins: [Vec<Origin<'a>>; 4],
    /// Those functions that the host makes, and that need a memory of the guest for it.
    with_memory: HashSet<u32>,
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut parts = Self::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match &payload {
                Payload::Version { encoding, .. } if depth == 0 => {
                    if *encoding != Encoding::Component {
                        bail!("it is not a component");
                    }
                    depth = 1;
                    continue;
                }
                Payload::ModuleSection { unchecked_range, .. } if depth == 1 => {
                    parts.modules.push(slice(bytes, unchecked_range)?);
                    depth += 1;
                    continue;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    if depth == 1 {
                        const NESTED: u8 = 4;
                        parts.order.push(Part::Raw(NESTED, slice(bytes, unchecked_range)?));
                    }
                    depth += 1;
                    continue;
                }
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    continue;
                }
                Payload::End(_) => {
                    depth -= 1;
                    continue;
                }
                _ if depth > 1 => continue,
                _ => {}
            }
            parts.take(bytes, payload)?;
        }
        Ok(parts)
    }

    fn take(&mut self, bytes: &'a [u8], payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.order.push(Part::Instance(self.instances.len() as u32));
                    self.instances.push(instance?);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    match alias? {
                        ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                            let origins = &mut self.origins[space(kind)?];
                            origins.push(Origin::Export(instance_index, name));
                        }
                        alias => self.order.push(Part::Alias(alias)),
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for canon in section {
                    let canon = canon?;
                    let number = match canon {
                        CanonicalFunction::Lift { .. } => None,
                        _ => {
                            let number = self.origins[0].len() as u32;
                            self.origins[0].push(Origin::Canon);
                            if !Self::references(&canon)?.is_empty() {
                                self.with_memory.insert(number);
                            }
                            Some(number)
                        }
                    };
                    self.order.push(Part::Canon(canon, number));
                }
            }
            // Names and notes are for people.
            Payload::CustomSection(_) => {}
            payload => {
                if let Payload::ComponentTypeSection(section) = &payload {
                    for ty in section.clone() {
                        if matches!(ty?, ComponentType::Resource { dtor: Some(_), .. }) {
                            bail!("a resource with a destructor is not understood");
                        }
                    }
                }
                let (id, range) = payload.as_section().context("an unknown part")?;
                self.order.push(Part::Raw(id, slice(bytes, &range)?));
            }
        }
        Ok(())
    }

    /// Core functions and memories that a canonical function refers to.
    fn references(canon: &CanonicalFunction) -> Result<Vec<(ExternalKind, u32)>> {
        let (mut found, options) = match canon {
            CanonicalFunction::Lift { core_func_index, options, .. } => {
                (vec![(ExternalKind::Func, *core_func_index)], options)
            }
            CanonicalFunction::Lower { options, .. } => (Vec::new(), options),
            CanonicalFunction::ResourceNew { .. }
            | CanonicalFunction::ResourceDrop { .. }
            | CanonicalFunction::ResourceRep { .. } => return Ok(Vec::new()),
            other => bail!("{other:?} is not understood"),
        };
        for option in options {
            match option {
                CanonicalOption::Memory(index) => found.push((ExternalKind::Memory, *index)),
                CanonicalOption::Realloc(index) | CanonicalOption::PostReturn(index) => {
                    found.push((ExternalKind::Func, *index));
                }
                CanonicalOption::UTF8 | CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {}
                other => bail!("{other:?} is not understood"),
            }
        }
        Ok(found)
    }
}

struct Linker<'p, 'a> {
    parts: &'p Parts<'a>,
    /// For each instance: whether it needs functions that need a memory.
    late: Vec<bool>,
    /// For each instance that is joined: which of the joined modules it is.
    joined: HashMap<u32, usize>,
    join: Join<'a>,
}

impl<'p, 'a> Linker<'p, 'a> {
    fn new(parts: &'p Parts<'a>) -> Result<Self> {
        let join = Join { modules: Vec::new(), targets: Vec::new(), exports: BTreeMap::new() };
        let mut linker = Self { parts, late: Vec::new(), joined: HashMap::new(), join };
        let mut used = HashSet::new();
        for (number, instance) in (0..).zip(&parts.instances) {
            let is_late = linker.is_late(instance)?;
            linker.late.push(is_late);
            if let (Instance::Instantiate { module_index, .. }, false) = (instance, is_late) {
                if !used.insert(*module_index) {
                    bail!("module {module_index} is instantiated twice");
                }
                linker.joined.insert(number, linker.join.modules.len());
                linker.join.modules.push(module::read(parts.modules[*module_index as usize])?);
            }
        }
        linker.resolve_imports()?;
        linker.collect_exports()?;
        Ok(linker)
    }

    fn is_late(&self, instance: &Instance<'_>) -> Result<bool> {
        match instance {
            Instance::Instantiate { args, .. } => {
                Ok(args.iter().any(|argument| self.late[argument.index as usize]))
            }
            Instance::FromExports(exports) => {
                for export in exports {
                    let is_late = match self.origin(export.kind, export.index)? {
                        Origin::Canon => self.parts.with_memory.contains(&export.index),
                        Origin::Export(instance, _) => self.late[instance as usize],
                    };
                    if is_late {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    fn origin(&self, kind: ExternalKind, index: u32) -> Result<Origin<'a>> {
        let origins = &self.parts.origins[space(kind)?];
        origins.get(index as usize).copied().context("an index leads nowhere")
    }

    fn resolve_imports(&mut self) -> Result<()> {
        for number in 0..self.parts.instances.len() as u32 {
            let Some(module) = self.joined.get(&number) else { continue };
            let imports = &self.join.modules[*module].imports;
            let resolve = |kind| {
                let import = |index| self.import(number, kind, index);
                (0..imports.count(kind)).map(import).collect::<Result<Vec<_>>>()
            };
            let targets = [
                resolve(ExternalKind::Func)?,
                resolve(ExternalKind::Table)?,
                resolve(ExternalKind::Memory)?,
                resolve(ExternalKind::Global)?,
            ];
            self.join.targets.push(targets);
        }
        Ok(())
    }

    /// What an import of a joined instance stands for.
    fn import(&self, instance: u32, kind: ExternalKind, index: u32) -> Result<Target> {
        let module = &self.join.modules[self.joined[&instance]];
        let (from, name) = module.imports.get(kind, index).context("no such import")?;
        let Instance::Instantiate { args, .. } = &self.parts.instances[instance as usize] else {
            bail!("only modules import");
        };
        let argument = args.iter().find(|argument| argument.name == from);
        let argument = argument.with_context(|| format!("nothing is given as {from}"))?;
        self.export(argument.index, name)
    }

    /// What an export of an instance stands for.
    fn export(&self, instance: u32, name: &str) -> Result<Target> {
        match &self.parts.instances[instance as usize] {
            Instance::FromExports(exports) => {
                let export = exports.iter().find(|export| export.name == name);
                let export = export.with_context(|| format!("nothing is exported as {name}"))?;
                self.item(export.kind, export.index)
            }
            Instance::Instantiate { .. } => {
                let module = self.joined.get(&instance).context("a circle through the host")?;
                let exports = &self.join.modules[*module].exports;
                let (kind, index) =
                    *exports.get(name).with_context(|| format!("nothing is exported as {name}"))?;
                if self.join.modules[*module].imports.get(kind, index).is_some() {
                    return self.import(instance, kind, index);
                }
                Ok(Target::Defined(*module, index))
            }
        }
    }

    /// What a core item of the component stands for.
    fn item(&self, kind: ExternalKind, index: u32) -> Result<Target> {
        match self.origin(kind, index)? {
            Origin::Canon => Ok(Target::Outside(index)),
            Origin::Export(instance, name) => self.export(instance, name),
        }
    }

    /// Notes what those that are not joined need of those that are.
    fn collect_exports(&mut self) -> Result<()> {
        let mut needed = Vec::new();
        for part in &self.parts.order {
            match part {
                Part::Canon(canon, _) => needed.extend(Parts::references(canon)?),
                Part::Instance(number) if self.late[*number as usize] => {
                    if let Instance::FromExports(exports) = &self.parts.instances[*number as usize]
                    {
                        needed.extend(exports.iter().map(|export| (export.kind, export.index)));
                    }
                }
                _ => {}
            }
        }
        for (kind, index) in needed {
            let target = self.item(kind, index)?;
            if let Target::Defined(module, own) = target {
                let name = format!("{}:{module}:{own}", space(kind)?);
                self.join.exports.insert(name, (kind, target));
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<Vec<u8>> {
        let joined = self.join.join()?;
        let mut out = Out { component: Component::new(), ..Out::default() };
        for part in &self.parts.order {
            match part {
                Part::Raw(id, data) => {
                    out.component.section(&RawSection { id: *id, data });
                }
                Part::Alias(alias) => {
                    let mut section = ComponentAliasSection::new();
                    section.alias(RoundtripReencoder.component_alias(alias.clone())?);
                    out.component.section(&section);
                }
                Part::Canon(canon, number) => {
                    self.write_canon(&mut out, &joined, canon, *number)?
                }
                Part::Instance(number) if self.late[*number as usize] => {
                    self.write_late(&mut out, &joined, *number)?;
                }
                Part::Instance(_) => {}
            }
        }
        Ok(out.component.finish())
    }

    fn write_canon(
        &self,
        out: &mut Out,
        joined: &Joined,
        canon: &CanonicalFunction,
        number: Option<u32>,
    ) -> Result<()> {
        let mut renumber = Renumber::default();
        for (kind, index) in Parts::references(canon)? {
            let place = self.place(out, joined, kind, index)?;
            renumber.places.insert((space(kind)?, index), place);
        }
        let mut section = CanonicalFunctionSection::new();
        renumber.parse_component_canonical(&mut section, canon.clone())?;
        out.component.section(&section);
        if let Some(number) = number {
            let place = out.next(0);
            out.outside.insert(number, place);
        }
        Ok(())
    }

    fn write_late(&self, out: &mut Out, joined: &Joined, number: u32) -> Result<()> {
        let mut section = InstanceSection::new();
        match &self.parts.instances[number as usize] {
            Instance::Instantiate { module_index, args } => {
                let data = self.parts.modules[*module_index as usize];
                out.component.section(&RawSection { id: MODULE, data });
                let arguments = args.iter().map(|argument| {
                    let place = out.instances.get(&argument.index).copied();
                    let place = place.context("a late module needs a joined one itself")?;
                    Ok((argument.name, ModuleArg::Instance(place)))
                });
                let arguments = arguments.collect::<Result<Vec<_>>>()?;
                section.instantiate(out.modules, arguments);
                out.modules += 1;
            }
            Instance::FromExports(exports) => {
                let mut places = Vec::new();
                for export in exports {
                    let place = self.place(out, joined, export.kind, export.index)?;
                    places.push((export.name, kind_of(export.kind)?, place));
                }
                section.export_items(places);
            }
        }
        out.component.section(&section);
        out.instances.insert(number, out.instance_count);
        out.instance_count += 1;
        Ok(())
    }

    /// Where a core item of the component is now; writes what it needs.
    fn place(&self, out: &mut Out, joined: &Joined, kind: ExternalKind, index: u32) -> Result<u32> {
        let target = self.item(kind, index)?;
        let Target::Defined(module, own) = target else {
            return out.function(index_of(target));
        };
        let space = space(kind)?;
        if let Some(place) = out.aliases.get(&(space, target)) {
            return Ok(*place);
        }
        let instance = out.joined(joined)?;
        let name = format!("{space}:{module}:{own}");
        let mut section = ComponentAliasSection::new();
        let kind = kind_of(kind)?;
        section.alias(Alias::CoreInstanceExport { instance, kind, name: &name });
        out.component.section(&section);
        let place = out.next(space);
        out.aliases.insert((space, target), place);
        Ok(place)
    }
}

fn slice<'a>(bytes: &'a [u8], range: &std::ops::Range<usize>) -> Result<&'a [u8]> {
    bytes.get(range.clone()).context("it is cut short")
}

fn index_of(target: Target) -> u32 {
    match target {
        Target::Outside(index) | Target::Defined(_, index) => index,
    }
}

fn kind_of(kind: ExternalKind) -> Result<ExportKind> {
    Ok(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        other => bail!("{other:?} is not understood"),
    })
}

/// The new component, and where things are in it.
#[derive(Default)]
struct Out {
    component: Component,
    /// How many functions, tables, memories and globals it has.
    counts: [u32; 4],
    modules: u32,
    instance_count: u32,
    /// Instances that were not joined.
    instances: HashMap<u32, u32>,
    /// Functions that the host makes.
    outside: HashMap<u32, u32>,
    aliases: HashMap<(usize, Target), u32>,
    joined: Option<u32>,
}

impl Out {
    fn next(&mut self, space: usize) -> u32 {
        self.counts[space] += 1;
        self.counts[space] - 1
    }

    fn function(&self, outside: u32) -> Result<u32> {
        let place = self.outside.get(&outside).copied();
        place.context("a function of the host is needed before it is made")
    }

    /// The instance of the joined module; made when it is first needed.
    fn joined(&mut self, joined: &Joined) -> Result<u32> {
        if let Some(instance) = self.joined {
            return Ok(instance);
        }
        self.component.section(&RawSection { id: MODULE, data: &joined.bytes });
        let functions = (0..).zip(&joined.outside).map(|(number, function): (u32, _)| {
            Ok((number.to_string(), ExportKind::Func, self.function(*function)?))
        });
        let functions = functions.collect::<Result<Vec<_>>>()?;
        let mut section = InstanceSection::new();
        section.export_items(functions.iter().map(|(name, kind, place)| (&**name, *kind, *place)));
        section.instantiate(self.modules, [("", ModuleArg::Instance(self.instance_count))]);
        self.component.section(&section);
        self.modules += 1;
        self.instance_count += 2;
        self.joined = Some(self.instance_count - 1);
        Ok(self.instance_count - 1)
    }
}

/// A core module in a component (Binary.md of the component model).
const MODULE: u8 = 1;

/// Rewrites what a canonical function refers to.
#[derive(Default)]
struct Renumber {
    places: HashMap<(usize, u32), u32>,
}

impl Renumber {
    fn get(&self, space: usize, index: u32) -> Place {
        let place = self.places.get(&(space, index)).copied();
        place.ok_or(reencode::Error::UserError(Lost { index }))
    }
}

impl Reencode for Renumber {
    type Error = Lost;

    fn function_index(&mut self, index: u32) -> Place {
        self.get(0, index)
    }

    fn memory_index(&mut self, index: u32) -> Place {
        self.get(2, index)
    }
}

impl ReencodeComponent for Renumber {}
