//! Where in a source an import stands that could not be resolved, and whether the source
//! is ready for it to be missing.

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    Argument, CallExpression, ExportAllDeclaration, ExportFromDeclaration, Expression,
    ImportDeclaration, ImportExpression, StringLiteral, TryStatement,
};
use oxc::ast_visit::{Visit, walk};
use oxc::parser::Parser;
use oxc::span::SourceType;

use super::plugin::Miss;
use super::resolve::is_packaged;
use capsule_bundle::Problem;

/// The problem that a miss is; None where it is none: the import may fail at run time.
///
/// That is so for what is tried (`try { require("x") }`), as Node has it, and for packages,
/// which name what is optional in many ways: only who comes by there will miss it.
pub(super) fn missed(miss: &Miss, source: &str) -> Option<Problem> {
    if !miss.is_refused && is_packaged(&miss.importer) {
        return None;
    }
    let places = places(miss, source);
    let place = match miss.is_refused {
        true => places.first(),
        false => places.iter().find(|place| !place.is_tried),
    };
    let problem = match place {
        Some(place) => Problem::at_offset(&miss.importer, &miss.why, source, place.offset),
        // Something else than a syntax that is known here named it.
        None if places.is_empty() => Problem::of(&miss.importer, &miss.why),
        None => return None,
    };
    Some(problem.hinted(hint(&miss.specifier).as_deref()))
}

fn hint(specifier: &str) -> Option<String> {
    let starts_plain =
        specifier.starts_with(|char: char| char.is_ascii_alphabetic() || char == '@');
    if !starts_plain || specifier.contains(':') {
        return None;
    }
    let parts = if specifier.starts_with('@') { 2 } else { 1 };
    let package = specifier.split('/').take(parts).collect::<Vec<_>>().join("/");
    Some(format!("npm install {package}"))
}

struct Place {
    offset: u32,
    is_tried: bool,
}

fn places(miss: &Miss, source: &str) -> Vec<Place> {
    let allocator = Allocator::default();
    let kind = SourceType::from_path(&miss.importer).unwrap_or_default();
    let parsed = Parser::new(&allocator, source, kind).parse();
    let mut search = Search { specifier: &miss.specifier, depth: 0, places: Vec::new() };
    search.visit_program(&parsed.program);
    search.places
}

struct Search<'s> {
    specifier: &'s str,
    /// How many `try` are around.
    depth: usize,
    places: Vec<Place>,
}

impl Search<'_> {
    fn meet(&mut self, literal: &StringLiteral<'_>) {
        if literal.value == self.specifier {
            self.places.push(Place { offset: literal.span.start, is_tried: self.depth > 0 });
        }
    }
}

impl<'a> Visit<'a> for Search<'_> {
    fn visit_import_declaration(&mut self, declaration: &ImportDeclaration<'a>) {
        self.meet(&declaration.source);
    }

    fn visit_export_all_declaration(&mut self, declaration: &ExportAllDeclaration<'a>) {
        self.meet(&declaration.source);
    }

    fn visit_export_from_declaration(&mut self, declaration: &ExportFromDeclaration<'a>) {
        self.meet(&declaration.source);
    }

    fn visit_import_expression(&mut self, expression: &ImportExpression<'a>) {
        if let Expression::StringLiteral(literal) = &expression.source {
            self.meet(literal);
        }
        walk::walk_import_expression(self, expression);
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        let is_require =
            matches!(&call.callee, Expression::Identifier(name) if name.name == "require");
        if is_require && let Some(Argument::StringLiteral(literal)) = call.arguments.first() {
            self.meet(literal);
        }
        walk::walk_call_expression(self, call);
    }

    fn visit_try_statement(&mut self, statement: &TryStatement<'a>) {
        self.depth += 1;
        self.visit_block_statement(&statement.block);
        self.depth -= 1;
        if let Some(handler) = &statement.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(finalizer) = &statement.finalizer {
            self.visit_block_statement(finalizer);
        }
    }
}
