//! Modules that import from each other become one.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};
use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, ElementSection, EntityType, ExportKind,
    ExportSection, FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection,
    TableSection, TypeSection,
};
use wasmparser::{ConstExpr, ElementItems, ExternalKind, FuncType, Operator};

use crate::module::Module;

/// What an import or export stands for in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// A definition of a module that is joined: which module, and its own index there.
    Defined(usize, u32),
    /// A function of the component.
    Outside(u32),
}

/// The modules, and what their imports stand for.
pub(crate) struct Join<'a> {
    pub(crate) modules: Vec<Module<'a>>,
    /// Of each module: functions, tables, memories, globals.
    pub(crate) targets: Vec<[Vec<Target>; 4]>,
    /// What must be exported, and as what.
    pub(crate) exports: BTreeMap<String, (ExternalKind, Target)>,
}

/// The module that they became.
pub(crate) struct Joined {
    pub(crate) bytes: Vec<u8>,
    /// Functions of the component that it imports, as `("", "0")`, `("", "1")`, …
    pub(crate) outside: Vec<u32>,
}

/// Where everything is in the new module.
#[derive(Default)]
struct Plan {
    types: Vec<FuncType>,
    type_of: Vec<Vec<u32>>,
    outside: Vec<u32>,
    functions: HashMap<Target, u32>,
    tables: HashMap<Target, u32>,
    memories: HashMap<Target, u32>,
    globals: HashMap<Target, u32>,
    constants: HashMap<Target, Constant>,
    elements: Vec<u32>,
    data: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Constant {
    I32(i32),
    I64(i64),
}

pub(crate) fn space(kind: ExternalKind) -> Result<usize> {
    Ok(match kind {
        ExternalKind::Func => 0,
        ExternalKind::Table => 1,
        ExternalKind::Memory => 2,
        ExternalKind::Global => 3,
        other => bail!("{other:?} is not understood"),
    })
}

impl Join<'_> {
    /// What an index of a module stands for.
    fn target(&self, module: usize, kind: ExternalKind, index: u32) -> Target {
        let imported =
            space(kind).ok().and_then(|space| self.targets[module][space].get(index as usize));
        imported.copied().unwrap_or(Target::Defined(module, index))
    }

    fn function(&self, module: usize, index: u32) -> Target {
        self.target(module, ExternalKind::Func, index)
    }

    /// Makes one module of them.
    pub(crate) fn join(&self) -> Result<Joined> {
        let mut plan = Plan::default();
        self.plan_types(&mut plan);
        self.plan_constants(&mut plan)?;
        self.plan_functions(&mut plan)?;
        self.plan_others(&mut plan);
        let bytes = self.write(&plan)?;
        Ok(Joined { bytes, outside: plan.outside })
    }

    fn plan_types(&self, plan: &mut Plan) {
        let mut known: HashMap<FuncType, u32> = HashMap::new();
        for module in &self.modules {
            let mut place = |ty: &FuncType| {
                *known.entry(ty.clone()).or_insert_with(|| {
                    plan.types.push(ty.clone());
                    plan.types.len() as u32 - 1
                })
            };
            plan.type_of.push(module.types.iter().map(&mut place).collect());
        }
    }

    /// A global that nobody sets, and whose first value is a number, is that number.
    fn plan_constants(&self, plan: &mut Plan) -> Result<()> {
        let mut changing: Vec<Target> = self
            .exports
            .values()
            .filter(|(kind, _)| *kind == ExternalKind::Global)
            .map(|(_, target)| *target)
            .collect();
        for (number, module) in self.modules.iter().enumerate() {
            for body in &module.bodies {
                for operator in body.get_operators_reader()? {
                    if let Operator::GlobalSet { global_index } = operator? {
                        changing.push(self.target(number, ExternalKind::Global, global_index));
                    }
                }
            }
        }
        changing.sort_unstable();
        changing.dedup();
        // In order: a first value may be that of an earlier global.
        for (number, module) in self.modules.iter().enumerate() {
            let first = module.imports.count(ExternalKind::Global);
            for (index, global) in (first..).zip(&module.globals) {
                let target = Target::Defined(number, index);
                if changing.binary_search(&target).is_err()
                    && let Some(value) = self.value(plan, number, &global.init_expr)?
                {
                    plan.constants.insert(target, value);
                }
            }
        }
        Ok(())
    }

    fn value(&self, plan: &Plan, module: usize, init: &ConstExpr<'_>) -> Result<Option<Constant>> {
        let mut operators = init.get_operators_reader();
        let value = match operators.read()? {
            Operator::I32Const { value } => Some(Constant::I32(value)),
            Operator::I64Const { value } => Some(Constant::I64(value)),
            Operator::GlobalGet { global_index } => {
                let target = self.target(module, ExternalKind::Global, global_index);
                plan.constants.get(&target).copied()
            }
            _ => None,
        };
        Ok(value.filter(|_| operators.is_end_then_eof()))
    }

    /// Functions that can be reached from an export or a table.
    fn plan_functions(&self, plan: &mut Plan) -> Result<()> {
        let mut found: Vec<Target> = Vec::new();
        let mut known: HashMap<Target, ()> = HashMap::new();
        let mut reach = |target: Target, found: &mut Vec<Target>| {
            if known.insert(target, ()).is_none() {
                found.push(target);
            }
        };
        for (kind, target) in self.exports.values() {
            if *kind == ExternalKind::Func {
                reach(*target, &mut found);
            }
        }
        for (number, module) in self.modules.iter().enumerate() {
            for element in &module.elements {
                match &element.items {
                    ElementItems::Functions(functions) => {
                        for function in functions.clone() {
                            reach(self.function(number, function?), &mut found);
                        }
                    }
                    ElementItems::Expressions(_, expressions) => {
                        for expression in expressions.clone() {
                            for operator in expression?.get_operators_reader() {
                                if let Operator::RefFunc { function_index } = operator? {
                                    reach(self.function(number, function_index), &mut found);
                                }
                            }
                        }
                    }
                }
            }
        }
        let mut looked = 0;
        while let Some(target) = found.get(looked).copied() {
            looked += 1;
            let Target::Defined(number, index) = target else { continue };
            let module = &self.modules[number];
            let own = index - module.imports.count(ExternalKind::Func);
            let body = module.bodies.get(own as usize).context("a function has no body")?;
            for operator in body.get_operators_reader()? {
                if let Operator::Call { function_index }
                | Operator::ReturnCall { function_index }
                | Operator::RefFunc { function_index } = operator?
                {
                    reach(self.function(number, function_index), &mut found);
                }
            }
        }
        // Functions from outside come first, then the others as they were.
        found.sort_unstable_by_key(|target| (matches!(target, Target::Defined(..)), *target));
        for (index, target) in (0..).zip(found) {
            plan.functions.insert(target, index);
            if let Target::Outside(function) = target {
                plan.outside.push(function);
            }
        }
        Ok(())
    }

    fn plan_others(&self, plan: &mut Plan) {
        let (mut elements, mut data) = (0, 0);
        for (number, module) in self.modules.iter().enumerate() {
            let next = |map: &mut HashMap<Target, u32>, index: u32| {
                let place = map.len() as u32;
                map.insert(Target::Defined(number, index), place);
            };
            let imports = &module.imports;
            for index in 0..module.tables.len() as u32 {
                next(&mut plan.tables, imports.count(ExternalKind::Table) + index);
            }
            for index in 0..module.memories.len() as u32 {
                next(&mut plan.memories, imports.count(ExternalKind::Memory) + index);
            }
            for index in 0..module.globals.len() as u32 {
                let index = imports.count(ExternalKind::Global) + index;
                if !plan.constants.contains_key(&Target::Defined(number, index)) {
                    next(&mut plan.globals, index);
                }
            }
            plan.elements.push(elements);
            elements += module.elements.len() as u32;
            plan.data.push(data);
            data += module.data.len() as u32;
        }
    }

    fn write(&self, plan: &Plan) -> Result<Vec<u8>> {
        let mut types = TypeSection::new();
        for ty in &plan.types {
            types.ty().func_type(&RoundtripReencoder.func_type(ty.clone())?);
        }
        let mut imports = ImportSection::new();
        for (number, function) in plan.outside.iter().enumerate() {
            let ty = self.type_outside(plan, *function)?;
            imports.import("", &number.to_string(), EntityType::Function(ty));
        }
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let (mut tables, mut memories) = (TableSection::new(), MemorySection::new());
        let (mut globals, mut elements) = (GlobalSection::new(), ElementSection::new());
        let mut data = DataSection::new();
        for (number, module) in self.modules.iter().enumerate() {
            let mut scribe = Scribe { join: self, plan, module: number };
            let imported = &module.imports;
            let first = imported.count(ExternalKind::Func);
            for ((index, ty), body) in (first..).zip(&module.functions).zip(&module.bodies) {
                if plan.functions.contains_key(&Target::Defined(number, index)) {
                    functions.function(scribe.type_index(*ty)?);
                    scribe.parse_function_body(&mut code, body.clone())?;
                }
            }
            for table in &module.tables {
                scribe.parse_table(&mut tables, table.clone())?;
            }
            for memory in &module.memories {
                memories.memory(scribe.memory_type(*memory)?);
            }
            let first = imported.count(ExternalKind::Global);
            for (index, global) in (first..).zip(&module.globals) {
                if plan.globals.contains_key(&Target::Defined(number, index)) {
                    scribe.parse_global(&mut globals, global.clone())?;
                }
            }
            for element in &module.elements {
                scribe.parse_element(&mut elements, element.clone())?;
            }
            for segment in &module.data {
                scribe.parse_data(&mut data, segment.clone())?;
            }
        }
        let mut exports = ExportSection::new();
        for (name, (kind, target)) in &self.exports {
            let (kind, map) = match kind {
                ExternalKind::Func => (ExportKind::Func, &plan.functions),
                ExternalKind::Table => (ExportKind::Table, &plan.tables),
                ExternalKind::Memory => (ExportKind::Memory, &plan.memories),
                _ => (ExportKind::Global, &plan.globals),
            };
            exports.export(name, kind, *map.get(target).context("an export leads nowhere")?);
        }
        let mut module = wasm_encoder::Module::new();
        let count = DataCountSection { count: data.len() };
        module.section(&types).section(&imports).section(&functions).section(&tables);
        module.section(&memories).section(&globals).section(&exports).section(&elements);
        module.section(&count).section(&code).section(&data);
        Ok(module.finish())
    }

    /// The type by which a function from outside is imported.
    fn type_outside(&self, plan: &Plan, function: u32) -> Result<u32> {
        for (number, module) in self.modules.iter().enumerate() {
            for (target, (_, _, ty)) in
                self.targets[number][0].iter().zip(&module.imports.functions)
            {
                if *target == Target::Outside(function) {
                    return Ok(plan.type_of[number][*ty as usize]);
                }
            }
        }
        bail!("function {function} of the component is imported by nobody")
    }
}

/// Rewrites what one of the modules holds.
struct Scribe<'p, 'a> {
    join: &'p Join<'a>,
    plan: &'p Plan,
    module: usize,
}

impl Scribe<'_, '_> {
    fn place(&self, map: &HashMap<Target, u32>, kind: ExternalKind, index: u32) -> Place {
        let target = self.join.target(self.module, kind, index);
        map.get(&target).copied().ok_or(reencode::Error::UserError(Lost { index }))
    }
}

/// An index that leads to nothing which was kept.
#[derive(Debug, thiserror::Error)]
#[error("index {index} leads nowhere")]
pub(crate) struct Lost {
    pub(crate) index: u32,
}

pub(crate) type Place = Result<u32, reencode::Error<Lost>>;

impl Reencode for Scribe<'_, '_> {
    type Error = Lost;

    fn type_index(&mut self, ty: u32) -> Place {
        Ok(self.plan.type_of[self.module][ty as usize])
    }

    fn function_index(&mut self, index: u32) -> Place {
        self.place(&self.plan.functions, ExternalKind::Func, index)
    }

    fn table_index(&mut self, index: u32) -> Place {
        self.place(&self.plan.tables, ExternalKind::Table, index)
    }

    fn memory_index(&mut self, index: u32) -> Place {
        self.place(&self.plan.memories, ExternalKind::Memory, index)
    }

    fn global_index(&mut self, index: u32) -> Place {
        self.place(&self.plan.globals, ExternalKind::Global, index)
    }

    fn element_index(&mut self, index: u32) -> Place {
        Ok(self.plan.elements[self.module] + index)
    }

    fn data_index(&mut self, index: u32) -> Place {
        Ok(self.plan.data[self.module] + index)
    }

    fn instruction<'b>(
        &mut self,
        operator: Operator<'b>,
    ) -> Result<Instruction<'b>, reencode::Error<Lost>> {
        if let Operator::GlobalGet { global_index } = operator {
            let target = self.join.target(self.module, ExternalKind::Global, global_index);
            match self.plan.constants.get(&target) {
                Some(Constant::I32(value)) => return Ok(Instruction::I32Const(*value)),
                Some(Constant::I64(value)) => return Ok(Instruction::I64Const(*value)),
                None => {}
            }
        }
        reencode::utils::instruction(self, operator)
    }
}
