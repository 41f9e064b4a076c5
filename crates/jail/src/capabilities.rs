//! Capabilities, and how to be rid of them (capabilities(7)).

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

/// Drops every capability but `kept`, from every set of this thread, which must have
/// CAP_SETPCAP. Allocates nothing.
pub(crate) fn give_up(kept: CapabilitySet) -> io::Result<()> {
    for capability in 0..64u32 {
        let set = CapabilitySet::from_bits_retain(1 << capability);
        match remove_capability_from_bounding_set(set) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    clear_ambient_capability_set()?;
    // Nothing may turn a user id or an executable into capabilities again.
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    keep(kept)
}

/// Leaves this thread `kept` of what it has.
pub(crate) fn keep(kept: CapabilitySet) -> io::Result<()> {
    let none = CapabilitySet::empty();
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: none },
    )?)
}
