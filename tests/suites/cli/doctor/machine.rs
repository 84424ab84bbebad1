//! What a machine, a sandbox, a disk or a service's unit takes away: each check with the fault and without it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use plexum_openai_provider_tests::jail::{self, Forbidden};
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::program;
use serde_json::{Value, json};

use crate::patient::{LOGGED_IN, Patient, Report, executable};

fn healthy() -> Patient {
    Patient::with_codex("codex-cli 0.169.0", LOGGED_IN)
}

fn without(call: libc::c_long, errno: i32) -> Report {
    healthy().examined_under(|doctor| jail::forbid(doctor, Forbidden { call, errno }))
}

/// Whether a check has this status, says all of this, and has a remedy unless it is well.
fn says(report: &Report, id: &str, status: &str, parts: &[&str]) {
    let (found, summary, remedy) = report.check(id);
    let said = format!("{summary} {remedy}");
    for part in parts {
        assert!(said.contains(part), "{part:?} in {id}: {said}");
    }
    assert_eq!(found, status, "{id}: {}", report.text);
    assert_eq!(remedy.is_empty(), status == "ok", "{id}: {said}");
}

#[test]
fn where_nothing_is_wrong_each_check_is_content() {
    let report = healthy().examined_under(|_| ());
    for id in [
        "codex-disk",
        "executable-memory",
        "memory-files",
        "machine-code",
        "turns-at-once",
        "workspace",
        "workspace-locks",
        "workspace-sync",
        "service-start",
        "start",
    ] {
        says(&report, id, "ok", &[]);
    }
    assert_eq!(report.code, Some(0), "{}", report.text);
}

#[test]
fn where_nothing_may_be_made_executable_that_is_the_finding() {
    let mut supported = Command::new("true");
    jail::deny_write_execute(&mut supported);
    // An older kernel has no such thing.
    if supported.status().is_err() {
        return;
    }
    let report = healthy().examined_under(jail::deny_write_execute);
    says(
        &report,
        "executable-memory",
        "problem",
        &["MemoryDenyWriteExecute"],
    );
}

#[test]
fn without_files_in_memory_the_temporary_folder_is_tried() {
    let report = without(libc::SYS_memfd_create, libc::EPERM);
    says(
        &report,
        "memory-files",
        "ok",
        &["no files in memory", "/tmp"],
    );
    says(&report, "start", "ok", &[]);
    let patient = healthy().set("TMPDIR", "/nowhere");
    let forbidden = Forbidden {
        call: libc::SYS_memfd_create,
        errno: libc::ENOSYS,
    };
    let report = patient.examined_under(|doctor| jail::forbid(doctor, forbidden));
    says(
        &report,
        "memory-files",
        "problem",
        &["/nowhere", "memfd_create", "TMPDIR"],
    );
    says(&report, "start", "problem", &[]);
}

#[test]
fn a_disk_without_locks_or_syncs_is_told_from_one_that_fails() {
    let report = without(libc::SYS_flock, libc::ENOLCK);
    says(
        &report,
        "workspace-locks",
        "problem",
        &["has no locks", "local_lock"],
    );
    let report = without(libc::SYS_fsync, libc::EINVAL);
    says(&report, "workspace-sync", "warning", &["reached the disk"]);
    says(&report, "codex-disk", "ok", &[]);
    let report = without(libc::SYS_fsync, libc::EIO);
    says(&report, "workspace-sync", "problem", &["Input/output"]);
    says(&report, "codex-disk", "problem", &["Input/output"]);
}

#[test]
fn a_limit_on_files_is_named_where_codex_keeps_its_conversations() {
    let limited = |doctor: &mut Command| jail::limit(doctor, libc::RLIMIT_FSIZE, 64 * 1024);
    let report = healthy().examined_under(limited);
    says(&report, "codex-disk", "problem", &["ulimit -f"]);
}

#[test]
fn limits_that_do_not_allow_all_turns_at_once_are_named() {
    let mebibytes = 1024 * 1024;
    for (resource, limit, named, raised_by) in [
        (libc::RLIMIT_NOFILE, 128, "128 open files", "LimitNOFILE"),
        (
            libc::RLIMIT_AS,
            1024 * mebibytes,
            "1024 MiB of address space",
            "LimitAS",
        ),
    ] {
        let limited = |doctor: &mut Command| jail::limit(doctor, resource, limit);
        let report = healthy().examined_under(limited);
        let parts = [named, "not 64", "limits.turns", raised_by];
        says(&report, "turns-at-once", "warning", &parts);
    }
}

#[test]
fn the_room_on_the_disk_of_codex_is_looked_at() {
    let patient = healthy();
    let script = "mount -t tmpfs -o size=$SIZE,mode=700 none /mnt && exec \"$@\"";
    let examine = |size: &str| {
        let output = Command::new("unshare")
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(program())
            .args(["doctor", "--json", "--config"])
            .arg(patient.workspace.config())
            .arg("--workspace")
            .arg(patient.workspace.path())
            .env("SIZE", size)
            .env("CODEX_HOME", "/mnt")
            .output();
        let output = output.ok().filter(|output| !output.stdout.is_empty())?;
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        Some(Report {
            text: json.to_string(),
            json,
            code: output.status.code(),
        })
    };
    let Some(full) = examine("128k") else {
        return tool::lacks(
            "the_room_on_the_disk_of_codex_is_looked_at",
            "this machine does not let us mount a small disk in a namespace of our own",
        );
    };
    says(
        &full,
        "codex-disk",
        "problem",
        &["the disk is full", "make room"],
    );
    let little = examine("9m").unwrap();
    says(
        &little,
        "codex-disk",
        "warning",
        &["MiB are free", "make room"],
    );
    let enough = examine("200m").unwrap();
    says(&enough, "codex-disk", "ok", &["MiB are free"]);
}

#[test]
fn what_only_this_shell_can_start_is_found_by_starting_it_as_a_service() {
    let patient = healthy();
    // As pnpm's script needs a node that a version manager has put on this shell's PATH.
    let tools = patient.workspace.outside("tools");
    executable(
        &tools.join("plexum-test-node"),
        "#!/bin/sh\necho 'codex-cli 0.169.0'\n",
    );
    executable(
        &patient.codex(),
        "#!/bin/sh\nexec plexum-test-node /x/codex.js \"$@\"\n",
    );
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let report = patient.set("PATH", path).examined_under(|_| ());
    says(&report, "codex-version", "ok", &[]);
    says(
        &report,
        "service-start",
        "warning",
        &["plexum-test-node", "not found", "Environment=PATH"],
    );
    assert!(
        !report.text.contains("a service finds it too"),
        "{}",
        report.text
    );
}

#[test]
fn the_line_that_matters_is_shown_and_not_the_first() {
    let patient = healthy();
    let script = "#!/bin/sh\n[ \"$HOME\" ] && [ -n \"$PLEXUM_TEST\" ] && { echo 'codex-cli 0.169.0'; exit; }\nprintf 'node:internal/modules:1\\n  throw err;\\n\\nError: Cannot find module x\\n    at y\\n' >&2; exit 1\n";
    executable(&patient.codex(), script);
    patient.configure(&json!({ "binary": patient.codex(), "env": ["PLEXUM_TEST"] }));
    let report = patient.set("PLEXUM_TEST", "1").examined_under(|_| ());
    says(
        &report,
        "service-start",
        "warning",
        &["Cannot find module x"],
    );
}

#[test]
fn a_codex_that_does_not_start_in_the_workspace_is_found_there() {
    let patient = healthy();
    executable(
        &patient.codex(),
        "#!/bin/sh\n[ \"$PWD\" = / ] || { echo 'not in here' >&2; exit 3; }\necho 'codex-cli 0.169.0'\n",
    );
    let report = patient.examined_under(|_| ());
    says(&report, "codex-version", "ok", &[]);
    says(
        &report,
        "start",
        "problem",
        &["not in here", "exit status: 3"],
    );
}

#[test]
fn a_cache_that_others_could_write_to_is_named() {
    // The home is below /tmp, too.
    let patient = Patient::with_codex("codex-cli 0.169.0", LOGGED_IN);
    let report = patient
        .set("XDG_CACHE_HOME", "/dev/shm/x")
        .examined_under(|_| ());
    says(
        &report,
        "machine-code",
        "warning",
        &["everybody may write to /dev/shm", "not kept"],
    );
}

#[test]
fn in_a_folder_that_is_gone_the_rest_is_examined() {
    let patient = healthy();
    let gone = patient.workspace.outside("gone");
    std::fs::create_dir(&gone).unwrap();
    let (mut doctor, name) = (Command::new(program()), gone.clone());
    doctor
        .args(["doctor", "--json", "--config"])
        .arg(patient.workspace.config());
    doctor.current_dir(&gone);
    // SAFETY: one system call on a path that was made before; and memory of this thread alone.
    unsafe { doctor.pre_exec(move || std::fs::remove_dir(&name)) };
    let output = doctor.output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = Report {
        text: json.to_string(),
        json,
        code: output.status.code(),
    };
    assert_eq!(report.code, Some(1), "{}", report.text);
    says(&report, "codex-version", "ok", &[]);
    says(&report, "workspace", "problem", &[]);
}
