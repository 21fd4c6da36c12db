//! Paths and permission bits as bundles write them.
//!
//! Not here: resolving a path below the root (the agent).

/// Checks that `path` is absolute, normalised, and has no `.` or `..` in it.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_path(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(format!("path {path:?} is not absolute"));
    };
    if path.len() > 4096 || path.bytes().any(|b| b == 0) {
        return Err(format!("path {path:?} is too long or has a NUL in it"));
    }
    match rest.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some(part) => Err(format!("path {path:?} has {part:?} in it")),
        None => Ok(()),
    }
}

/// Reads permission bits such as `0644`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_mode(mode: &str) -> Result<u32, String> {
    match u32::from_str_radix(mode, 8) {
        Ok(bits) if bits <= 0o7777 && (3..=5).contains(&mode.len()) && !mode.starts_with('+') => {
            Ok(bits)
        }
        Ok(_) | Err(_) => Err(format!("mode {mode:?} is not octal between 0000 and 7777")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for bad in ["etc/x", "/etc/../x", "/", "/etc//x", "/./x", "/x\0"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_path("/etc/x").is_ok());
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode("0644"), Ok(0o644));
        for bad in ["", "0888", "+644", "100644", "77777", "rw-r--r--"] {
            assert!(parse_mode(bad).is_err(), "{bad:?}");
        }
    }
}
