//! `--readonly`, `--writable`, `--bind`: what of the host is shown, to what end,
//! and that nothing of it is ever harmed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use capsule_tests::{Caller, Run, Scratch, own_user, skip};

/// Each with the user that its files belong to.
fn callers() -> Vec<(Caller, u32)> {
    let stranger = if own_user() == 0 { 65_534 } else { own_user() };
    vec![(Caller::Current, own_user()), (Caller::Unprivileged, stranger)]
}

/// A folder of the host with some content: what must survive.
fn precious(user: u32) -> Scratch {
    let scratch = Scratch::new();
    let folder = scratch.directory_of("data", user);
    scratch.file("data/file", "precious\n");
    scratch.directory_of("data/below", user);
    scratch.file("data/below/deep", "precious too\n");
    let _ = std::os::unix::fs::chown(format!("{folder}/file"), Some(user), Some(user));
    let _ = std::os::unix::fs::chown(format!("{folder}/below/deep"), Some(user), Some(user));
    scratch
}

#[track_caller]
fn assert_unharmed(scratch: &Scratch) {
    assert_eq!(scratch.read("data/file"), "precious\n");
    assert_eq!(scratch.read("data/below/deep"), "precious too\n");
}

#[test]
fn a_read_only_mount_can_be_read_and_nothing_else() {
    let script = "cat $D/file $D/below/deep; \
        for d in $D $D/below; do touch $d/new 2>/dev/null && echo touched; done; \
        (echo x >> $D/file) 2>/dev/null && echo appended; rm -rf $D/file $D/below 2>/dev/null; \
        mv $D/file $D/other 2>/dev/null && echo moved; chmod 777 $D/file 2>/dev/null && echo \
        chmod; \
        ln $D/file /tmp/link 2>/dev/null && echo linked; truncate -s 0 $D/file 2>/dev/null && \
        echo cut; true";
    for (caller, user) in callers() {
        let scratch = precious(user);
        let data = scratch.at("data");
        let variable = format!("D={data}");
        let bind = format!("{data}:/data");
        let bind_ro = format!("{data}:/data:ro");
        for flags in [
            ["--readonly", data.as_str(), "-e", variable.as_str()],
            ["--bind", bind.as_str(), "-e", "D=/data"],
            ["--bind", bind_ro.as_str(), "-e", "D=/data"],
        ] {
            let run = Run::shell(&flags, script).caller(caller).finish().ended_with(0);
            assert_eq!(run.text(), "precious\nprecious too\n", "{flags:?}");
            assert_unharmed(&scratch);
        }
    }
}

#[test]
fn a_writable_mount_writes_through_as_the_caller() {
    let script = "echo new > $D/made; mkdir $D/folder; echo more >> $D/file; rm $D/below/deep; \
        stat -c %U $D $D/made";
    for (caller, user) in callers() {
        for style in ["--writable", "--bind"] {
            let scratch = precious(user);
            let data = scratch.at("data");
            let (argument, variable) = if style == "--bind" {
                (format!("{data}:/elsewhere:rw"), "D=/elsewhere".to_owned())
            } else {
                (data.clone(), format!("D={data}"))
            };
            let run =
                Run::shell(&[style, &argument, "-e", &variable], script).caller(caller).finish();
            // Inside it is all the guest's own.
            assert_eq!(run.ended_with(0).text(), "capsule\ncapsule\n", "{style}");
            assert_eq!(scratch.read("data/made"), "new\n");
            assert_eq!(scratch.read("data/file"), "precious\nmore\n");
            assert!(!scratch.path().join("data/below/deep").exists());
            for name in ["made", "folder", "file"] {
                let owner = fs::metadata(format!("{data}/{name}")).unwrap();
                assert_eq!((owner.uid(), owner.gid()), (user, user), "{name}");
                assert_eq!(owner.mode() & 0o6000, 0, "{name}");
            }
        }
    }
}

#[test]
fn a_mount_of_another_owner_keeps_its_owner() {
    if own_user() != 0 {
        return skip("only root can make files of another user");
    }
    let scratch = Scratch::new();
    let data = scratch.directory_of("data", 4321);
    let run = Run::shell(
        &["--bind", &format!("{data}:/data:rw")],
        "echo x > /data/made; stat -c %U /data",
    );
    assert_eq!(run.finish().ended_with(0).text(), "capsule\n");
    assert_eq!(fs::metadata(format!("{data}/made")).unwrap().uid(), 4321);
}

#[test]
fn files_of_others_in_a_mount_stay_closed() {
    if own_user() != 0 {
        return skip("only root can make files of another user");
    }
    let scratch = Scratch::new();
    let data = scratch.directory("data");
    let secret = scratch.file("data/secret", "of somebody else\n");
    std::os::unix::fs::chown(&secret, Some(4321), Some(4321)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let run = Run::shell(
        &["--bind", &format!("{data}:/data:rw")],
        "cat /data/secret; chmod 644 /data/secret",
    );
    let run = run.finish();
    assert_ne!(run.code, Some(0));
    assert_eq!(run.text(), "");
}

#[test]
fn a_set_id_file_cannot_be_made_on_the_host() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let bind = format!("{}:/data:rw", scratch.at("data"));
        let script = "cp /bin/sh /data/sh; chmod 4755 /data/sh 2>/dev/null; chmod 2755 /data/sh \
            2>/dev/null; \
            chmod 2777 /data 2>/dev/null; install -m 6755 /bin/sh /data/sh2 2>/dev/null; \
            mknod /data/null c 1 3 2>/dev/null; mkfifo /data/fifo; true";
        Run::shell(&["--bind", &bind], script).caller(caller).finish().ended_with(0);
        for entry in fs::read_dir(scratch.at("data")).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            assert_eq!(metadata.mode() & 0o6000, 0, "{}", entry.path().display());
            assert_ne!(metadata.mode() & 0o170_000, 0o020_000, "{}", entry.path().display());
        }
    }
}

#[test]
fn a_single_file_can_be_mounted() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let file = scratch.at("data/file");
        let run = Run::shell(
            &["--bind", &format!("{file}:/workspace/one.txt")],
            "cat one.txt; ls; echo x 2>/dev/null >> one.txt || echo closed",
        );
        assert_eq!(run.caller(caller).finish().ended_with(0).text(), "precious\none.txt\nclosed\n");
        let run = Run::shell(
            &["--bind", &format!("{file}:/etc/own.conf:rw")],
            "echo added >> /etc/own.conf",
        );
        run.caller(caller).finish().ended_with(0);
        assert_eq!(scratch.read("data/file"), "precious\nadded\n");
        // Its neighbours stay outside.
        let run = Run::shell(&["--readonly", &file], &format!("ls {}", scratch.at("data")));
        assert_eq!(run.caller(caller).finish().ended_with(0).text(), "file\n");
    }
}

#[test]
fn the_workspace_itself_can_be_a_mount() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let bind = format!("{}:/workspace:rw", scratch.at("data"));
        let run = Run::shell(&["--bind", &bind], "pwd; cat file; echo made > made").caller(caller);
        assert_eq!(run.finish().ended_with(0).text(), "/workspace\nprecious\n");
        assert_eq!(scratch.read("data/made"), "made\n");
    }
}

#[test]
fn a_relative_path_is_meant_from_here() {
    let scratch = precious(own_user());
    for path in ["data", "./data", "./data/"] {
        let run = Run::shell(&["--bind", &format!("{path}:/data")], "cat /data/file");
        assert_eq!(
            run.directory(scratch.path()).finish().ended_with(0).text(),
            "precious\n",
            "{path}"
        );
    }
    let run = Run::shell(&["--bind", ".:/all"], "cat /all/data/file").directory(scratch.path());
    assert_eq!(run.finish().ended_with(0).text(), "precious\n");
}

#[test]
fn nested_mounts_lie_in_each_other_in_any_order() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        scratch.directory("inner");
        scratch.file("inner/file", "inner\n");
        let outer = format!("{}:/data", scratch.at("data"));
        let inner = format!("{}:/data/below", scratch.at("inner"));
        for flags in [["--bind", &outer, "--bind", &inner], ["--bind", &inner, "--bind", &outer]] {
            let run = Run::shell(&flags, "cat /data/file /data/below/file; ls /data/below")
                .caller(caller)
                .finish();
            assert_eq!(run.ended_with(0).text(), "precious\ninner\nfile\n", "{flags:?}");
        }
        assert_unharmed(&scratch);
    }
}

#[test]
fn a_read_only_mount_inside_a_writable_one_stays_read_only() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let outer = format!("{}:/data:rw", scratch.at("data"));
        let inner = format!("{}:/data/below", scratch.at("data/below"));
        let script = "echo x > /data/new; rm -f /data/below/deep 2>/dev/null; \
            (echo x > /data/below/deep) 2>/dev/null && echo wrote; rm -rf /data/below \
            2>/dev/null; mv /data/below /data/b 2>/dev/null && echo moved; true";
        let run = Run::shell(&["--bind", &outer, "--bind", &inner], script).caller(caller).finish();
        assert_eq!(run.ended_with(0).text(), "");
        assert_unharmed(&scratch);
        assert_eq!(scratch.read("data/new"), "x\n");
    }
}

#[test]
fn nothing_is_made_on_the_host_for_a_place() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let outer = format!("{}:/data:rw", scratch.at("data"));
        let inner = format!("{}:/data/missing", scratch.at("data/below"));
        let run =
            Run::new(&["--bind", &outer, "--bind", &inner, "--", "true"]).caller(caller).finish();
        let run = run.ended_with(1);
        assert_eq!(run.error_code().as_deref(), Some("E2003"), "{run}");
        assert!(!scratch.path().join("data/missing").exists());
    }
}

#[test]
fn a_link_in_the_source_is_refused_with_the_real_path() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        symlink(scratch.at("data"), scratch.path().join("link")).unwrap();
        symlink("/", scratch.path().join("data/root")).unwrap();
        for (source, real) in [
            (scratch.at("link"), scratch.at("data")),
            (scratch.at("link/below"), scratch.at("data/below")),
            (scratch.at("data/root/etc"), "/etc".to_owned()),
        ] {
            for flag in ["--readonly", "--writable"] {
                let run =
                    Run::new(&[flag, &source, "--", "true"]).caller(caller).finish().ended_with(1);
                assert_eq!(run.error_code().as_deref(), Some("E5003"), "{run}");
                assert!(
                    run.errors().contains(&format!("hint: name the real path: {real}\n")),
                    "{run}"
                );
            }
        }
    }
}

#[test]
fn a_link_inside_a_mount_leads_nowhere_outside() {
    let scratch = precious(own_user());
    let secret = scratch.file("secret", "outside\n");
    symlink(&secret, scratch.path().join("data/out")).unwrap();
    symlink("../secret", scratch.path().join("data/up")).unwrap();
    let run = Run::shell(
        &["--bind", &format!("{}:/data:rw", scratch.at("data"))],
        "cat /data/out /data/up; echo x > /data/out",
    );
    let run = run.finish();
    assert_eq!(run.text(), "");
    assert_eq!(scratch.read("secret"), "outside\n");
}

#[test]
fn a_link_as_a_place_is_not_followed() {
    // A mount at a place that the first mount holds as a link to a system directory.
    let scratch = precious(own_user());
    symlink("/usr", scratch.path().join("data/place")).unwrap();
    let outer = format!("{}:/data", scratch.at("data"));
    let inner = format!("{}:/data/place", scratch.at("data/below"));
    let run = Run::new(&["--bind", &outer, "--bind", &inner, "--", "true"]).finish();
    assert_eq!(run.code, Some(1), "{run}");
}

#[test]
fn a_place_below_a_system_directory_must_exist() {
    let scratch = precious(own_user());
    let data = scratch.at("data");
    let run = Run::shell(&["--bind", &format!("{data}:/usr/share/doc")], "cat /usr/share/doc/file")
        .finish();
    assert_eq!(run.ended_with(0).text(), "precious\n");
    let run = Run::new(&["--bind", &format!("{data}:/usr/share/no-such-place"), "--", "true"]);
    let run = run.finish().ended_with(1);
    assert_eq!(run.error_code().as_deref(), Some("E2003"), "{run}");
    assert!(!std::path::Path::new("/usr/share/no-such-place").exists());
}

#[test]
fn devices_and_set_id_files_in_a_mount_are_dead() {
    if own_user() != 0 {
        return skip("only root can make a device node");
    }
    let scratch = Scratch::new();
    let data = scratch.directory("data");
    let node =
        std::process::Command::new("mknod").args([&format!("{data}/null"), "c", "1", "3"]).status();
    if !node.is_ok_and(|status| status.success()) {
        return skip("device nodes cannot be made here");
    }
    scratch.program("data/shell", fs::read("/bin/sh").unwrap());
    fs::set_permissions(format!("{data}/shell"), fs::Permissions::from_mode(0o4755)).unwrap();
    let run = Run::shell(
        &["--bind", &format!("{data}:/data")],
        "cat /data/null; /data/shell -p -c 'id -u'",
    )
    .finish();
    assert_eq!(run.text(), "1000\n", "{run}");
    assert!(run.errors().contains("Permission denied"), "{run}");
}

#[test]
fn what_is_mounted_below_a_source_comes_along_read_only() {
    if own_user() != 0 {
        return skip("only root can mount");
    }
    // In a mount namespace of the test, so that nothing of it is left.
    let scratch = Scratch::new();
    let data = scratch.directory("data");
    scratch.directory("data/inner");
    let prepare = format!(
        "mount -t tmpfs tmpfs {data}/inner && echo below > {data}/inner/file && exec \"$@\""
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &prepare, "sh"];
    let script = "cat /data/inner/file; (echo x > /data/inner/file) 2>/dev/null && echo wrote; \
        umount /data/inner 2>/dev/null && echo off; true";
    let run = Run::shell(&["--bind", &format!("{data}:/data")], script).through(&wrapper).finish();
    assert_eq!(run.ended_with(0).text(), "below\n");
}

/// Every end that a run can have, with a writable mount that holds another mount.
#[test]
fn no_end_harms_a_writable_mount() {
    for (caller, user) in callers() {
        for (name, flags, script) in [
            ("success", &[][..], "true"),
            ("failure", &[], "exit 3"),
            ("crash", &[], "kill -SEGV $$"),
            ("timeout", &["-t", "300"], "sleep 60"),
            ("output", &["--max-output", "10"], "yes | head -c 10000"),
            (
                "memory",
                &["-m", "32M"],
                "sleep 0.1; head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null",
            ),
            ("no command", &[], "exec /no/such/command"),
        ] {
            let scratch = precious(user);
            let outer = format!("{}:/data:rw", scratch.at("data"));
            let inner = format!("{}:/data/below:rw", scratch.at("data/below"));
            let mounts = ["--bind", outer.as_str(), "--bind", inner.as_str(), "-w", "/data"];
            let run = Run::shell(&[&mounts, flags].concat(), script).caller(caller).finish();
            assert_eq!(run.code == Some(0), name == "success", "{name}\n{run}");
            assert_unharmed(&scratch);
        }
    }
}

#[test]
fn a_failure_to_build_harms_nothing() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let bind = format!("{}:/data:rw", scratch.at("data"));
        for call in [libc::SYS_pivot_root, libc::SYS_move_mount, libc::SYS_sethostname] {
            let run = Run::new(&["--bind", &bind, "--", "true"])
                .caller(caller)
                .without_call(call, libc::EPERM);
            run.finish().ended_with(1);
            assert_unharmed(&scratch);
        }
        let run =
            Run::new(&["--bind", &bind, "-w", "/no/where", "--", "true"]).caller(caller).finish();
        run.ended_with(1);
        assert_unharmed(&scratch);
    }
}

#[test]
fn a_killed_supervisor_harms_nothing() {
    for (caller, user) in callers() {
        let scratch = precious(user);
        let bind = format!("{}:/data:rw", scratch.at("data"));
        let script = "setsid sh -c 'sleep 60 & sleep 60' & echo ready; sleep 60; rm -rf /data/*";
        let run = Run::shell(&["--bind", bind.as_str()], script).caller(caller).start();
        run.wait_for("ready");
        run.kill_and_audit();
        assert_unharmed(&scratch);
    }
}
