//! How names become addresses in a binary that is linked statically.
//!
//! glibc asks the machine's /etc/nsswitch.conf which plugins resolve names, and loads them. Inside
//! a static binary such a plugin drags in another glibc than the one that is linked, which ends
//! in a crash wherever the two differ. So a static binary never loads one.

/// Makes a static binary resolve names by /etc/hosts and then DNS (/etc/resolv.conf), whatever
/// plugins the machine names; any other binary goes on asking all that the machine names. To be
/// called before the first name is resolved.
pub fn resolve_without_plugins() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    files_then_dns();
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[allow(unsafe_code, reason = "glibc offers this to programs through nss.h, and to no Rust library")]
fn files_then_dns() {
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const std::ffi::c_char, line: *const std::ffi::c_char) -> std::ffi::c_int;
    }
    // SAFETY: both are strings that end in NUL, which the function copies. It fails only for
    // a database that it does not know, and then resolving goes on as before.
    unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
}
