//! A hold on a file: while it lasts, the file lives, whatever happens to its names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::tree::{Facts, Number, Tree};

/// A file, directory or link of a tree.
#[derive(Debug)]
pub(crate) struct Held {
    tree: Arc<Mutex<Tree>>,
    number: Number,
}

impl Held {
    /// The tree's root.
    pub(crate) fn root(tree: &Arc<Mutex<Tree>>) -> Self {
        Self::new(tree, &mut lock(tree), Tree::ROOT)
    }

    fn new(tree: &Arc<Mutex<Tree>>, locked: &mut Tree, number: Number) -> Self {
        locked.hold(number);
        Self { tree: tree.clone(), number }
    }

    pub(crate) fn number(&self) -> Number {
        self.number
    }

    pub(crate) fn facts(&self) -> Facts {
        self.tree().facts(self.number)
    }

    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        lock(&self.tree)
    }

    /// Finds or makes another in the same tree, and holds it.
    pub(crate) fn other<E>(
        &self,
        find: impl FnOnce(&mut Tree, Number) -> Result<Number, E>,
    ) -> Result<Self, E> {
        let mut tree = self.tree();
        let number = find(&mut tree, self.number)?;
        Ok(Self::new(&self.tree, &mut tree, number))
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(&self.tree, &mut self.tree(), self.number)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tree().release(self.number);
    }
}

/// A panic in another thread left nothing half done that this could see.
fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}
