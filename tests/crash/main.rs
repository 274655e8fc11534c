//! Rule H1 at every crash point and every error of the disk.
//!
//! This binary starts itself again under strace, which kills it at the N-th call of a kind, or
//! makes that call fail, for N = 1, 2, … until a run is not hit any more. Whatever happened, after
//! the next start the whole tree, state included, is either the one before or the one after; and
//! where the driver does it, the files are those of the documents and the engine knows them.
//! It needs strace and root, and fails without them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../apply_support/mod.rs"]
mod apply_support;
mod driver;
#[path = "../runtime_support/mod.rs"]
mod runtime_support;
mod transaction;
mod victim;

use std::path::Path;
use std::process::ExitCode;

use driver::{
    h1_a_driver_that_crashes_anywhere_is_gone_on_with,
    h1_a_driver_that_meets_an_error_anywhere_is_gone_on_with,
};
use image_config_agent::host::Root;
use transaction::{
    Action, h1_a_disk_that_gets_read_only_leaves_the_host_unchanged_or_applied,
    h1_a_fault_in_any_thread_leaves_old_or_new,
    h1_a_full_disk_leaves_the_host_unchanged_or_applied, h1_a_label_of_selinux_is_kept,
    h1_a_read_only_disk_leaves_the_host_unchanged,
    h1_a_refusal_of_the_kernel_leaves_the_host_unchanged_or_applied,
    h1_an_error_in_the_recovery_leaves_old_or_new,
    h1_an_error_of_the_disk_leaves_the_host_unchanged_or_applied,
    h1_crash_at_any_syscall_leaves_old_or_new, h1_crash_in_the_recovery_leaves_old_or_new,
    h1_files_are_durable_before_the_journal_says_so,
    h11_a_foreign_owner_is_a_warning_and_taken_from,
};
use victim::{ACTION, ROOT};

/// A name and a test, as libtest prints them.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => { [$((stringify!($name), $name as fn())),+] };
}

fn main() -> ExitCode {
    if let (Some(root), Ok(action)) = (std::env::var_os(ROOT), std::env::var(ACTION)) {
        let root = Root::open(Path::new(&root)).unwrap();
        let code = Action::named(&action)
            .map_or_else(|| driver::go(&root, &action), |action| action.run(&root));
        return ExitCode::from(u8::try_from(code).unwrap());
    }
    // The same calls in the same order on any file system; memory is ten times as fast.
    if Path::new("/dev/shm").is_dir() {
        tempfile::env::override_temp_dir(Path::new("/dev/shm")).unwrap();
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    let all = tests![
        h1_crash_at_any_syscall_leaves_old_or_new,
        h1_crash_in_the_recovery_leaves_old_or_new,
        h1_an_error_in_the_recovery_leaves_old_or_new,
        h1_an_error_of_the_disk_leaves_the_host_unchanged_or_applied,
        h1_a_full_disk_leaves_the_host_unchanged_or_applied,
        h1_a_disk_that_gets_read_only_leaves_the_host_unchanged_or_applied,
        h1_a_refusal_of_the_kernel_leaves_the_host_unchanged_or_applied,
        h1_a_read_only_disk_leaves_the_host_unchanged,
        h1_a_fault_in_any_thread_leaves_old_or_new,
        h1_files_are_durable_before_the_journal_says_so,
        h1_a_label_of_selinux_is_kept,
        h11_a_foreign_owner_is_a_warning_and_taken_from,
        h1_a_driver_that_crashes_anywhere_is_gone_on_with,
        h1_a_driver_that_meets_an_error_anywhere_is_gone_on_with,
    ];
    for (name, test) in all {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let ok = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    let verdict = if failed == 0 && passed > 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed");
    if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
