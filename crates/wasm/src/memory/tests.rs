//! No byte of one guest is ever seen by the next.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::image::Image;
use super::overlay::Overlay;
use super::pool::{Pool, Recycling};
use super::start::{Held, starting};
use super::sys::Linear;

const IMAGE: usize = 2 << 20;
const RESERVED: usize = 64 << 20;
const GUARD: usize = 1 << 20;
const PAGE: usize = 64 << 10;

fn image() -> (Image, Vec<u8>) {
    let bytes: Vec<u8> =
        (0..IMAGE).map(|at| if at / 4096 % 3 == 0 { 0 } else { (at % 251) as u8 }).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    // Some that are there, and some that are nowhere.
    let written = vec![(1, 2), (100, 3), (IMAGE / 4096 - 1, 1), (IMAGE / 4096, 9), (usize::MAX, 2)];
    (Image::new(File::open(&path).unwrap()).unwrap().with_written(written), bytes)
}

fn memory(pool: &Pool) -> Box<dyn Linear> {
    pool.create(IMAGE, None, Some(RESERVED), GUARD).unwrap()
}

/// What a guest does: writes somewhere, or grows.
#[derive(Clone, Debug)]
enum Deed {
    Write { at: usize, length: usize, byte: u8 },
    Grow { pages: usize },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let write = (0..RESERVED, 1..20_000usize, any::<u8>())
        .prop_map(|(at, length, byte)| Deed::Write { at, length, byte });
    let grow = (1..64usize).prop_map(|pages| Deed::Grow { pages });
    proptest::collection::vec(prop_oneof![4 => write, 1 => grow], 0..30)
}

fn commit(memory: &mut Box<dyn Linear>, deed: &Deed) {
    match *deed {
        Deed::Grow { pages } => {
            let before = memory.length();
            let after = (before + pages * PAGE).min(memory.capacity());
            memory.grow(after).unwrap();
            // What is new is zero, whatever lay there before.
            let new = super::sys::look(&**memory);
            assert!(new[before..after].iter().all(|byte| *byte == 0));
        }
        Deed::Write { at, length, byte } => {
            let bytes = super::sys::look_mut(&mut **memory);
            let at = at % bytes.len();
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(byte);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_used_memory_comes_back_new(lives in proptest::collection::vec(deeds(), 1..6), forget in any::<bool>()) {
        let (image, original) = image();
        let pool = Pool::new(image, 2).unwrap();
        let pool = if forget { pool.without_pagemap() } else { pool };
        for life in lives {
            let mut memory = memory(&pool);
            prop_assert_eq!(memory.length(), IMAGE);
            prop_assert!(super::sys::look(&*memory) == original.as_slice());
            for deed in &life {
                commit(&mut memory, deed);
            }
        }
    }
}

/// A file that holds these bytes.
fn stored(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn a_stored_overlay_that_is_damaged_is_none() {
    let pool = Pool::new(image().0, 1).unwrap();
    let (mut memory, held) = begin(&pool, None);
    for at in [0, 70_000, IMAGE - 1] {
        commit(&mut memory, &Deed::Write { at, length: 1, byte: 77 });
    }
    let whole = held.overlay().unwrap().write(b"head");
    assert!(pool.stored(&stored(&whole), 4).is_some());
    let with = |at: usize, number: u64| {
        let mut bytes = whole.clone();
        bytes[4 + 8 * at..12 + 8 * at].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let longer = [&whole[..], &[0]].concat();
    let mut damaged =
        vec![Vec::new(), whole[..11].to_vec(), whole[..whole.len() - 1].to_vec(), longer];
    // Its length: odd, less than the image's, more than there can be.
    for length in [1, (IMAGE - PAGE) as u64, 5 << 30, u64::MAX] {
        damaged.push(with(0, length));
    }
    // How many pages, and which: out of order, beyond the end.
    for count in [0, 2, 4, 1 << 20, u64::MAX] {
        damaged.push(with(1, count));
    }
    for page in [1 << 40, u64::MAX, (IMAGE / 4096) as u64] {
        damaged.push(with(4, page));
    }
    damaged.push(with(3, 0));
    for bytes in damaged {
        assert!(pool.stored(&stored(&bytes), 4).is_none(), "{} bytes", bytes.len());
    }
}

/// A memory that begins with an overlay, and the hold on it.
fn begin(pool: &Pool, overlay: Option<Arc<Overlay>>) -> (Box<dyn Linear>, Held) {
    let mut making = std::pin::pin!(starting(overlay, async { memory(pool) }));
    let mut context = Context::from_waker(Waker::noop());
    match making.as_mut().poll(&mut context) {
        Poll::Ready((memory, held)) => (memory, held.unwrap()),
        Poll::Pending => unreachable!("making one waits for nothing"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_memory_begins_with_what_was_kept_and_nothing_else(
        lives in proptest::collection::vec((any::<usize>(), any::<bool>(), deeds()), 1..8),
        forget in any::<bool>(),
    ) {
        let (image, original) = image();
        let pool = Pool::new(image, 2).unwrap();
        let used = if forget { pool.clone().without_pagemap() } else { pool.clone() };
        let mut kept = vec![(None, original)];
        for (choice, keep, deeds) in &lives {
            let (overlay, expected) = &kept[choice % kept.len()];
            let (mut memory, _) = begin(&used, overlay.clone());
            prop_assert!(super::sys::look(&*memory) == expected.as_slice());
            let (mut other, held) = begin(&pool, overlay.clone());
            for deed in deeds {
                commit(&mut memory, deed);
                commit(&mut other, deed);
            }
            if *keep && let Some(overlay) = held.overlay() {
                let bytes = super::sys::look(&*other).to_vec();
                prop_assert_eq!(overlay.length(), bytes.len());
                let stored = stored(&overlay.write(b"head"));
                let again = pool.stored(&stored, 4).unwrap();
                kept.push((Some(Arc::new(overlay)), bytes.clone()));
                kept.push((Some(Arc::new(again)), bytes));
            }
        }
    }
}

#[test]
fn what_a_memory_grew_by_is_given_back_at_once() {
    let (image, _) = image();
    let pool = Pool::new(image, 1).unwrap();
    let (mut memory, held) = begin(&pool, None);
    memory.grow(RESERVED).unwrap();
    super::sys::look_mut(&mut *memory)[IMAGE..].fill(1);
    // Too much to be kept.
    assert!(held.overlay().is_none());
    let base = memory.base();
    drop(memory);
    let again = self::memory(&pool);
    assert_eq!((again.base(), again.length()), (base, IMAGE));
}

#[test]
fn pages_that_every_guest_writes_are_its_own_at_once() {
    let (image, original) = image();
    let pool = Pool::new(image, 1).unwrap();
    let (memory, held) = begin(&pool, None);
    assert_eq!(held.written().unwrap(), [(1, 2), (100, 3), (IMAGE / 4096 - 1, 1)]);
    assert!(super::sys::look(&*memory) == original.as_slice());
}

#[test]
fn two_memories_at_once_share_nothing() {
    let (image, original) = image();
    let pool = Pool::new(image, 4).unwrap();
    for _ in 0..50 {
        let (mut one, two) = (memory(&pool), memory(&pool));
        super::sys::look_mut(&mut *one).fill(0xee);
        assert!(super::sys::look(&*two) == original.as_slice());
    }
}

#[test]
fn many_threads_find_new_memories() {
    let (image, original) = image();
    let pool = Pool::new(image, 4).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (pool, original) = (&pool, &original);
            scope.spawn(move || {
                for round in 0..100usize {
                    let mut memory = memory(pool);
                    assert!(super::sys::look(&*memory) == original.as_slice());
                    let bytes = super::sys::look_mut(&mut *memory);
                    bytes
                        .iter_mut()
                        .skip(round * 97)
                        .step_by(4096)
                        .for_each(|byte| *byte = thread + 1);
                }
            });
        }
    });
}

#[test]
fn the_host_says_which_way_it_takes() {
    let (image, _) = image();
    let pool = Pool::new(image, 1).unwrap();
    assert_eq!(pool.clone().without_pagemap().recycling(), Recycling::WholeMapping);
    // Where the file is open, as on every machine of ours, the fast way is taken.
    assert_eq!(pool.recycling(), Recycling::WrittenPages);
}

#[test]
fn an_odd_image_is_refused() {
    for length in [0, 1, PAGE - 1, PAGE + 1] {
        let file = tempfile::tempfile().unwrap();
        file.set_len(length as u64).unwrap();
        assert!(Image::new(file).is_err(), "{length}");
    }
}
