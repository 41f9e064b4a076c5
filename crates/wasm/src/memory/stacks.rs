//! Stacks to be used again: a guest's native code runs on one of its own.
//!
//! What an earlier guest left on a stack stays there. A guest cannot read it: compiled
//! WebAssembly addresses no native stack.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::sys::{Mapping, PAGE};

/// Makes stacks; keeps used ones.
#[derive(Clone)]
pub(crate) struct Stacks {
    shared: Arc<Shared>,
}

struct Shared {
    idle: Mutex<Vec<Mapping>>,
    most_idle: usize,
}

/// What an idle stack may keep of its pages.
const KEPT: usize = 256 << 10;

impl Stacks {
    /// Keeps at most `most_idle` for later.
    pub(crate) fn new(most_idle: usize) -> Self {
        Self { shared: Arc::new(Shared { idle: Mutex::new(Vec::new()), most_idle }) }
    }

    pub(super) fn take(&self, size: usize) -> io::Result<Stack> {
        let size = size.next_multiple_of(PAGE);
        let length = size + PAGE;
        let idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mapping = match idle {
            Some(mapping) if mapping.length() == length => mapping,
            _ => {
                // The page below it stays closed: who runs over the end meets it.
                let mut mapping = Mapping::reserve(length)?;
                mapping.open(PAGE, size)?;
                mapping
            }
        };
        Ok(Stack { mapping: Some(mapping), shared: self.shared.clone() })
    }
}

/// A stack in use.
pub(super) struct Stack {
    /// Always there until it is dropped.
    mapping: Option<Mapping>,
    shared: Arc<Shared>,
}

impl Stack {
    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("only drop takes it")
    }

    /// Where it may be used.
    pub(super) fn range(&self) -> Range<usize> {
        let base = self.mapping().base().addr();
        base + PAGE..base + self.mapping().length()
    }

    pub(super) fn top(&self) -> *mut u8 {
        self.mapping().base().wrapping_add(self.mapping().length())
    }

    pub(super) fn guard(&self) -> Range<*mut u8> {
        let base = self.mapping().base();
        base..base.wrapping_add(PAGE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(mut mapping) = self.mapping.take() else { return };
        // A deep recursion must not be kept in memory for ever.
        let deep = mapping.length().saturating_sub(KEPT);
        if deep > PAGE && mapping.forget(PAGE, deep - PAGE).is_err() {
            return;
        }
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.shared.most_idle {
            idle.push(mapping);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_used_again_and_guarded() {
        let stacks = Stacks::new(1);
        let first = stacks.take(1 << 20).unwrap();
        let (range, top) = (first.range(), first.top().addr());
        assert_eq!((range.len(), range.end), (1 << 20, top));
        assert_eq!(first.guard().end.addr(), range.start);
        drop(first);
        assert_eq!(stacks.take(1 << 20).unwrap().range(), range);
        assert_eq!(stacks.take(2 << 20).unwrap().range().len(), 2 << 20);
    }

    #[test]
    fn an_idle_stack_keeps_little() {
        let stacks = Stacks::new(1);
        let mut stack = stacks.take(4 << 20).unwrap();
        let mapping = stack.mapping.as_mut().unwrap();
        mapping.bytes_mut(PAGE, 4 << 20).unwrap().fill(1);
        drop(stack);
        let mut stack = stacks.take(4 << 20).unwrap();
        let mapping = stack.mapping.as_mut().unwrap();
        let bytes = mapping.bytes_mut(PAGE, 4 << 20).unwrap();
        assert_eq!(bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>(), KEPT);
    }
}
