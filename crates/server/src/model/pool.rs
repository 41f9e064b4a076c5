//! Spare sandboxes: how many there are to be, and what becomes of each. Pure: it does
//! nothing.
//!
//! ```text
//!            made            taken
//!  making ─────────▶ spare ─────────▶ somebody's sandbox, never a spare again
//!    │                │  │
//!    │ failed    lost │  │ surplus, closed
//!    ▼                ▼  ▼
//!  nothing ◀─────── to be ended
//! ```
//!
//! - A spare has no owner, is found by nobody and is remembered by nothing: the next server
//!   ends what it finds of them.
//! - Spares take room that nobody else wants. They are made only while all sandboxes and
//!   all spares together stay below the most there may be, and are ended when sandboxes
//!   need their room.
//! - After `closed` none is made and none is given away.

use std::collections::VecDeque;

/// All pools of a server; `T` is what stands for a spare.
#[derive(Debug)]
pub(crate) struct Pools<T> {
    /// Sandboxes and spares there may be, together.
    most: usize,
    is_closed: bool,
    pools: Vec<Pool<T>>,
}

#[derive(Debug)]
struct Pool<T> {
    size: usize,
    making: usize,
    /// Oldest first.
    spares: VecDeque<(String, T)>,
}

/// What a pool needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    /// Another spare; it counts from now on: [`Pools::made`] or [`Pools::failed`] follows.
    Make,
    /// This one is to be ended.
    End(T),
    /// Nothing, until something changes.
    Wait,
    /// Nothing ever again.
    Over,
}

impl<T> Pools<T> {
    pub(crate) fn new(most: usize, sizes: impl IntoIterator<Item = usize>) -> Self {
        let pool = |size| Pool { size, making: 0, spares: VecDeque::new() };
        Self { most, is_closed: false, pools: sizes.into_iter().map(pool).collect() }
    }

    /// What a pool needs, while there are so many sandboxes.
    pub(crate) fn next(&mut self, pool: usize, living: usize) -> Next<T> {
        let all = living + self.held();
        let (is_closed, most) = (self.is_closed, self.most);
        let pool = &mut self.pools[pool];
        if (is_closed || all > most)
            && let Some((_, spare)) = pool.spares.pop_front()
        {
            return Next::End(spare);
        }
        if is_closed {
            return if pool.making == 0 { Next::Over } else { Next::Wait };
        }
        if pool.making + pool.spares.len() < pool.size && all < most {
            pool.making += 1;
            return Next::Make;
        }
        Next::Wait
    }

    /// A spare was made. It comes back if none is wanted any more.
    pub(crate) fn made(&mut self, pool: usize, id: String, spare: T) -> Option<T> {
        let is_closed = self.is_closed;
        let pool = &mut self.pools[pool];
        pool.making -= 1;
        if is_closed {
            return Some(spare);
        }
        pool.spares.push_back((id, spare));
        None
    }

    /// A spare could not be made, and nothing is left of it.
    pub(crate) fn failed(&mut self, pool: usize) {
        self.pools[pool].making -= 1;
    }

    /// The oldest spare becomes somebody's.
    pub(crate) fn take(&mut self, pool: usize) -> Option<(String, T)> {
        if self.is_closed {
            return None;
        }
        self.pools[pool].spares.pop_front()
    }

    /// A spare ended by itself; none if it is none any more.
    pub(crate) fn lost(&mut self, pool: usize, id: &str) -> Option<T> {
        let spares = &mut self.pools[pool].spares;
        let at = spares.iter().position(|(known, _)| known == id)?;
        spares.remove(at).map(|(_, spare)| spare)
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn ready(&self, pool: usize) -> usize {
        self.pools[pool].spares.len()
    }

    pub(crate) fn size(&self, pool: usize) -> usize {
        self.pools[pool].size
    }

    /// Spares that there are or will be.
    fn held(&self) -> usize {
        self.pools.iter().map(|pool| pool.making + pool.spares.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// The pool's keeper looks.
        Look(usize),
        /// What it makes is done, or cannot be.
        Made(usize),
        Failed(usize),
        /// Somebody wants a sandbox: a spare if there is one.
        Create(usize),
        /// A sandbox ends.
        Delete,
        /// The oldest spare ends by itself.
        Lose(usize),
        Close,
    }

    fn step() -> impl Strategy<Value = Step> {
        let pool = 0..2usize;
        prop_oneof![
            8 => pool.clone().prop_map(Step::Look),
            6 => pool.clone().prop_map(Step::Made),
            1 => pool.clone().prop_map(Step::Failed),
            4 => pool.clone().prop_map(Step::Create),
            3 => Just(Step::Delete),
            1 => pool.prop_map(Step::Lose),
            1 => Just(Step::Close),
        ]
    }

    proptest! {
        /// Every spare leaves the pool once, in one way; there are never more than may be.
        #[test]
        fn a_spare_has_one_end(
            most in 0..5usize,
            sizes in prop::collection::vec(0..4usize, 2..3),
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut pools = Pools::new(most, sizes.clone());
            let mut living = 0usize;
            let mut making = [0usize; 2];
            let mut next_id = 0u32;
            let mut inside: BTreeSet<String> = BTreeSet::new();
            let mut closed = false;
            for step in steps {
                match step {
                    Step::Look(pool) => match pools.next(pool, living) {
                        Next::Make => {
                            making[pool] += 1;
                            prop_assert!(!closed);
                            prop_assert!(living + inside.len() + making.iter().sum::<usize>() <= most);
                            prop_assert!(pools.ready(pool) + making[pool] <= sizes[pool]);
                        }
                        Next::End(spare) => {
                            prop_assert!(inside.remove(&spare));
                            prop_assert!(closed || living + inside.len() + making.iter().sum::<usize>() >= most);
                        }
                        Next::Wait => {}
                        Next::Over => prop_assert!(closed && pools.ready(pool) == 0 && making[pool] == 0),
                    },
                    Step::Made(pool) if making[pool] > 0 => {
                        making[pool] -= 1;
                        next_id += 1;
                        let id = next_id.to_string();
                        match pools.made(pool, id.clone(), id.clone()) {
                            None => prop_assert!(!closed && inside.insert(id)),
                            Some(back) => prop_assert!(closed && back == id),
                        }
                    }
                    Step::Failed(pool) if making[pool] > 0 => {
                        making[pool] -= 1;
                        pools.failed(pool);
                    }
                    Step::Create(pool) if living < most => {
                        living += 1;
                        if let Some((id, spare)) = pools.take(pool) {
                            prop_assert!(!closed && id == spare && inside.remove(&id));
                        } else {
                            prop_assert!(closed || pools.ready(pool) == 0);
                        }
                    }
                    Step::Delete => living = living.saturating_sub(1),
                    Step::Lose(pool) => {
                        let oldest = pools.pools[pool].spares.front().map(|(id, _)| id.clone());
                        let Some(id) = oldest else { continue };
                        prop_assert_eq!(pools.lost(pool, &id), Some(id.clone()));
                        prop_assert_eq!(pools.lost(pool, &id), None);
                        prop_assert!(inside.remove(&id));
                    }
                    Step::Close => {
                        closed = true;
                        pools.close();
                    }
                    Step::Made(_) | Step::Failed(_) | Step::Create(_) => {}
                }
                prop_assert_eq!(pools.ready(0) + pools.ready(1), inside.len());
            }
            // A keeper that goes on looking comes to rest: full, without room, or over.
            for _ in 0..20 {
                for (pool, making) in making.iter_mut().enumerate() {
                    match pools.next(pool, living) {
                        Next::Make => pools.failed(pool),
                        Next::End(spare) => prop_assert!(inside.remove(&spare)),
                        Next::Wait | Next::Over => {}
                    }
                    if *making > 0 {
                        *making -= 1;
                        pools.failed(pool);
                    }
                }
            }
            prop_assert!(living + inside.len() <= most.max(living));
            if closed {
                prop_assert!(inside.is_empty());
                prop_assert_eq!(pools.next(0, living), Next::Over);
            }
        }
    }

    #[test]
    fn spares_make_room() {
        let mut pools = Pools::new(3, [2]);
        assert_eq!(pools.next(0, 0), Next::Make);
        assert_eq!(pools.made(0, "a".into(), 'a'), None);
        assert_eq!(pools.next(0, 1), Next::Make);
        assert_eq!(pools.made(0, "b".into(), 'b'), None);
        assert_eq!(pools.next(0, 1), Next::Wait, "it is full");
        // Two sandboxes that no spare could be given to.
        assert_eq!(pools.next(0, 3), Next::End('a'));
        assert_eq!(pools.next(0, 3), Next::End('b'));
        assert_eq!(pools.next(0, 3), Next::Wait, "there is no room for another");
        assert_eq!(pools.next(0, 2), Next::Make);
    }
}
