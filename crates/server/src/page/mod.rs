//! The page at `/`: its files, and the rules under which a browser has them.
//!
//! Owns: the files, built into the binary as they are in `assets/`, their types, the policy.
//! Refuses to know: what they do. The page is a client like any other: it comes through
//! `/rpc` and the other doors, with the rights of whoever looks at it.
//!
//! `assets/vendor/` is xterm.js as its authors publish it (MIT, the licences beside it);
//! `tests/page` compares it with the packages of npm.

/// A file for a browser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path on the server.
    pub(crate) path: &'static str,
    /// Its media type.
    pub(crate) kind: &'static str,
    pub(crate) bytes: &'static [u8],
}

/// Nothing but this server's own files: no script, style or picture of another origin, none
/// inside of the markup, no text that becomes markup, no form that is sent, and no other page
/// that has it in a frame.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! files {
    ($($name:literal $kind:ident)*) => {
        &[
            File { path: "/", kind: HTML, bytes: include_bytes!("assets/index.html") },
            $(File {
                path: concat!("/assets/", $name),
                kind: $kind,
                bytes: include_bytes!(concat!("assets/", $name)),
            },)*
        ]
    };
}

const FILES: &[File] = files! {
    "theme.js" SCRIPT
    "app.js" SCRIPT
    "charts.js" SCRIPT
    "create.js" SCRIPT
    "dialog.js" SCRIPT
    "doctor.js" SCRIPT
    "dom.js" SCRIPT
    "files.js" SCRIPT
    "flood.js" SCRIPT
    "history.js" SCRIPT
    "lifecycle.js" SCRIPT
    "log.js" SCRIPT
    "overview.js" SCRIPT
    "paper.js" SCRIPT
    "poll.js" SCRIPT
    "sandbox.js" SCRIPT
    "sandboxes.js" SCRIPT
    "server.js" SCRIPT
    "templates.js" SCRIPT
    "terminal.js" SCRIPT
    "text.js" SCRIPT
    "volumes.js" SCRIPT
    "style.css" STYLE
    "views.css" STYLE
    "icon.svg" PICTURE
    "vendor/xterm.mjs" SCRIPT
    "vendor/xterm.css" STYLE
    "vendor/xterm.LICENSE.txt" TEXT
    "vendor/addon-fit.mjs" SCRIPT
    "vendor/addon-fit.LICENSE.txt" TEXT
};

/// The file at a path.
pub(crate) fn find(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn names(folder: &Path, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let found = entries.flat_map(|entry| {
            let name = format!("{below}{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => names(&entry.path(), &format!("{name}/")),
                false => vec![name],
            }
        });
        found.collect()
    }

    #[test]
    fn every_file_is_served_and_nothing_else() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/assets");
        let mut there = names(&folder, "/assets/");
        there.retain(|name| name != "/assets/index.html");
        there.push("/".to_owned());
        there.sort_unstable();
        let mut served: Vec<_> = FILES.iter().map(|file| file.path.to_owned()).collect();
        served.sort_unstable();
        assert_eq!(served, there);
        assert_eq!(find("/assets/index.html"), None);
        assert_eq!(find("/assets/../mod.rs"), None);
        assert_eq!(find("/assets/"), None);
    }

    #[test]
    fn the_page_names_no_other_place() {
        let own = FILES.iter().filter(|file| !file.path.contains("/vendor/"));
        for file in own {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for line in text.lines().filter(|line| !line.contains("www.w3.org")) {
                assert!(!line.contains("//") || line.trim_start().starts_with("//"), "{line}");
            }
        }
    }

    #[test]
    fn texts_of_strangers_have_no_way_to_become_markup() {
        let ways = ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser"];
        let others = ["eval(", "new Function", "srcdoc", "createContextualFragment", "setHTML"];
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            let text = std::str::from_utf8(file.bytes).unwrap();
            for way in ways.iter().chain(&others) {
                assert!(!text.contains(way), "{}: {way}", file.path);
            }
        }
    }
}
