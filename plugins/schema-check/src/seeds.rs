//! Seeds for the hash maps of the schema's crate, which wants random numbers where there are none.

use getrandom::Error;

/// The same bytes in every instance. The maps hold words of the schema, which its author chose; data is kept in trees, so
/// no sender can make keys collide.
///
/// # Safety
/// The caller gives `length` writable bytes at `bytes`, as `getrandom`'s custom backend promises.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(bytes: *mut u8, length: usize) -> Result<(), Error> {
    // SAFETY: as above.
    unsafe { std::ptr::write_bytes(bytes, 0x5a, length) };
    Ok(())
}
