//! The ioctls of loop devices (loop(4)). One call a block.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const LOOP_GET_STATUS64: u64 = 0x4C05;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
/// The device goes with its last user.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    own_device: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Info {
    const NONE: Self = Self {
        device: 0,
        inode: 0,
        own_device: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The number of a device that nobody uses, at this moment.
pub(super) fn free_device(control: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: this request takes no argument; the descriptor is borrowed for the call.
    check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) })
}

/// Gives a device a file.
pub(super) fn attach(device: BorrowedFd<'_>, image: BorrowedFd<'_>) -> io::Result<()> {
    let info = Info { flags: LO_FLAGS_AUTOCLEAR, ..Info::NONE };
    let fd = image.as_raw_fd().cast_unsigned();
    let config = Config { fd, block_size: 0, info, reserved: [0; 8] };
    let argument = &raw const config;
    // SAFETY: `config` is a whole loop_config that lives until the call returns; the kernel
    // only reads it.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, argument) }).map(drop)
}

/// Device and inode of the file that a device has.
pub(super) fn backing(device: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let mut info = Info::NONE;
    let argument = &raw mut info;
    // SAFETY: `info` is a whole loop_info64 that lives until the call returns; any bytes that
    // the kernel writes are one.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, argument) })?;
    Ok((info.device, info.inode))
}

/// The structures have the size that the kernel expects.
const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304);
