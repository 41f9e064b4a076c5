//! The memory of guests: an image that is mapped copy-on-write, and a pool of
//! mappings that keep their pages.
//!
//! A guest's image is tens of megabytes, of which a task changes a few. A mapping
//! that has been used is made new by copying back only the pages that the task
//! wrote, which the kernel names in `/proc/self/pagemap`. Where that file is closed,
//! the whole mapping is made anew: slower, and just as clean. If anything about
//! it is in doubt, the mapping is thrown away.
//!
//! A memory can also start with what another one held: an [`Overlay`], the pages in which
//! that one differed from the image. So a program is loaded once and started often.

mod image;
mod overlay;
mod pool;
mod slot;
mod stacks;
mod start;
mod sys;
#[cfg(test)]
mod tests;

pub(crate) use image::{Image, Pages, read_large};
pub(crate) use overlay::Overlay;
pub(crate) use pool::Pool;
pub use pool::Recycling;
pub(crate) use stacks::Stacks;
pub(crate) use start::{Held, starting};
