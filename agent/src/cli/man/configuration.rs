//! The manual page of the configuration file, made of its schema and of the file that packages install.

use stopbank_manual::File;

use crate::config;

/// What `stopbank man` calls it.
const NAME: &str = "stopbank.toml";

const DESCRIPTION: &[&str] = &[
    "The agent reads one TOML file, and after it every *.toml in the directory conf.d beside it, by name. Every key is optional but the \
     interfaces; a key that is not known is an error, as is whatever has no meaning here, and errors name file, line, column and what is \
     allowed.",
    "A changed file is in force after `systemctl reload stopbank` or `stopbank reload`, as a whole or not at all. `stopbank config check` reads one \
     without putting it in force, `stopbank config diff` says what it would change, and `stopbank config apply --confirm 2m` takes it back unless it \
     is confirmed.",
];

/// The page.
pub(super) fn file() -> File {
    File {
        name: NAME,
        title: "configuration of the stopbank agent",
        places: &[config::DEFAULT_PATH, "/etc/stopbank/conf.d/*.toml"],
        description: DESCRIPTION,
        schema: Some(config::schema()),
        installed: config::DEFAULT,
        see_also: "stopbank(1), stopbank-config(1), stopbank-run(1)",
    }
}

#[cfg(test)]
mod tests {
    use stopbank_manual::key_names;

    use super::*;

    #[test]
    fn every_key_that_is_known_stands_in_the_page() {
        let page = super::super::manual().page(&[NAME.to_owned()]).unwrap();
        let mut missing = Vec::new();
        key_names(&config::schema(), &mut |key| {
            if !page.contains(&format!("\\fB{}\\fR", key.replace('-', "\\-")))
                && !page.contains(&format!("{key}]"))
            {
                missing.push(key.to_owned());
            }
        });
        assert!(missing.is_empty(), "{missing:?} of {page}");
        for part in [
            "[[class]]",
            "[class.per_source]",
            "[[class.per_prefix]]",
            "\"observe\" | \"enforce\"",
            ".SH EXAMPLE",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
    }
}
