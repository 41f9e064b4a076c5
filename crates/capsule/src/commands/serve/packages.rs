//! Where packages come from: what the operator says, then what the operator's own package
//! managers use, then the public indexes.

use std::collections::BTreeMap;

use capsule_server::{PackageIndex, PackageIndexes};
use capsule_spec::{ErrorCode, Failure, HostRule};

/// Where the files of Python's public index are, beside the index.
const PYPI: [&str; 2] = ["pypi.org:443", "files.pythonhosted.org:443"];
const NPM: [&str; 1] = ["registry.npmjs.org:443"];

/// Variables of the operator that name certificates which sandboxes have, too.
const CERTIFICATES: [&str; 4] =
    ["PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"];

/// Reads the options.
pub(crate) fn indexes(
    given: &[String],
    hosts: &[String],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PackageIndexes, Failure> {
    let mut urls: BTreeMap<&str, String> = BTreeMap::new();
    for one in given {
        let (manager, url) = one.split_once('=').unwrap_or(("", one));
        if !matches!(manager, "pip" | "npm") {
            return Err(wrong(one, "does not begin with pip= or npm="));
        }
        urls.insert(manager, url.to_owned());
    }
    let rules = hosts
        .iter()
        .map(|host| host.parse::<HostRule>().map_err(|error| wrong(host, &error.to_string())));
    let others: Vec<HostRule> = rules.collect::<Result<_, _>>()?;
    let mut named = |manager: &str, variables: &[&str]| {
        urls.remove(manager).or_else(|| variables.iter().find_map(|name| variable(name)))
    };
    let pip = named("pip", &["PIP_INDEX_URL"]);
    let npm = named("npm", &["npm_config_registry", "NPM_CONFIG_REGISTRY"]);
    Ok(PackageIndexes {
        pip: index(pip, "PIP_INDEX_URL", &PYPI, &others, variable)?,
        npm: index(npm, "npm_config_registry", &NPM, &others, variable)?,
    })
}

fn index(
    url: Option<String>,
    name: &str,
    public: &[&str],
    others: &[HostRule],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<PackageIndex, Failure> {
    let certificate = |name: &&str| Some(((*name).to_owned(), variable(name)?));
    let mut environment: BTreeMap<_, _> = CERTIFICATES.iter().filter_map(certificate).collect();
    let mut hosts = match &url {
        Some(url) => vec![host(url)?],
        None => public.iter().map(|rule| rule.parse().expect("it is one")).collect(),
    };
    hosts.extend_from_slice(others);
    if let Some(url) = url {
        if url.starts_with("http://") && name == "PIP_INDEX_URL" {
            environment.insert("PIP_TRUSTED_HOST".to_owned(), hosts[0].to_string());
        }
        environment.insert(name.to_owned(), url);
    }
    Ok(PackageIndex { hosts, environment })
}

/// The host of an index, and the port that its scheme stands for.
fn host(url: &str) -> Result<HostRule, Failure> {
    let (port, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (443, rest),
        (_, Some(rest)) => (80, rest),
        _ => return Err(wrong(url, "does not begin with https:// or http://")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        // Not shown: it holds the password.
        return Err(Failure::new(
            ErrorCode::InvalidValue,
            "a package index has a user name, which every sandbox would be told",
        )
        .hint("name another one with --package-index"));
    }
    if authority.contains('*') {
        return Err(wrong(url, "names no host"));
    }
    let rule: HostRule = authority.parse().map_err(|_| wrong(url, "names no host"))?;
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let with_port = if has_port { rule.to_string() } else { format!("{rule}:{port}") };
    with_port.parse().map_err(|_| wrong(url, "names no host"))
}

fn wrong(given: &str, what: &str) -> Failure {
    Failure::new(ErrorCode::InvalidValue, format!("the package index {given:?} {what}"))
        .hint("--package-index pip=https://index.example/simple")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str], variables: &[(&str, &str)]) -> Result<PackageIndexes, Failure> {
        let given: Vec<String> = given.iter().map(|one| (*one).to_owned()).collect();
        let variable = |name: &str| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        indexes(&given, &["files.example".to_owned()], &variable)
    }

    fn hosts(index: &PackageIndex) -> Vec<String> {
        index.hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn options_come_before_variables_and_those_before_the_public_ones() {
        let public = read(&[], &[]).unwrap();
        assert_eq!(
            hosts(&public.pip),
            ["pypi.org:443", "files.pythonhosted.org:443", "files.example"]
        );
        assert_eq!(hosts(&public.npm), ["registry.npmjs.org:443", "files.example"]);
        assert!(public.pip.environment.is_empty());
        let own = [("PIP_INDEX_URL", "https://a.example/simple"), ("PIP_CERT", "/etc/ssl/x")];
        let found = read(&["npm=http://127.0.0.1:99/x"], &own).unwrap();
        assert_eq!(hosts(&found.pip), ["a.example:443", "files.example"]);
        assert_eq!(found.pip.environment["PIP_INDEX_URL"], "https://a.example/simple");
        assert_eq!(found.npm.environment["PIP_CERT"], "/etc/ssl/x");
        assert_eq!(hosts(&found.npm), ["127.0.0.1:99", "files.example"]);
        let found = read(&["pip=https://[fd00::1]/"], &own).unwrap();
        assert_eq!(hosts(&found.pip)[0], "[fd00::1]:443");
    }

    #[test]
    fn what_names_no_host_or_tells_a_password_is_refused() {
        for given in [
            "",
            "pip",
            "gem=https://a",
            "pip=a.example",
            "pip=ftp://a",
            "pip=https://",
            "pip=https://*",
            "pip=https://u:p@a.example/",
        ] {
            let failure = read(&[given], &[]).unwrap_err();
            assert!(!failure.message.contains("u:p"), "{failure}");
        }
        assert!(read(&[], &[("npm_config_registry", "https://u:p@a.example/")]).is_err());
    }
}
