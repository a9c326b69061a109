//! Any texts as the files of a configuration: what is wrong points into the text of its file, and what is good reads the same
//! when it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stopbank::config::{self, ConfigError, DropIn, Sources};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut texts = text.split('\u{0}');
    let main = texts.next().unwrap_or_default();
    let drop_in = |(number, text): (usize, &str)| DropIn { name: format!("{number}.toml"), text: text.to_owned() };
    let drop_ins = texts.take(4).enumerate().map(drop_in).collect();
    let sources = Sources { drop_ins, ..Sources::single("main.toml", main) };
    match config::parse_sources(&sources) {
        Ok(config) => {
            let again = config::parse("rendered", &config::render(&config)).expect("what was taken can be read");
            assert_eq!(again, config);
            assert!(config::diff(&config, &again).is_empty());
        }
        Err(ConfigError::Invalid(invalid)) => {
            assert!(!invalid.diagnostics.is_empty());
            for error in invalid.located() {
                let (_, text) = (0..sources.count())
                    .map(|index| sources.get(index))
                    .find(|(file, _)| *file == error.file)
                    .expect("it is in one of the files");
                assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                assert!(error.line >= 1 && error.line <= text.split('\n').count() && error.column >= 1);
            }
            let shown = invalid.to_string();
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
        }
        Err(other) => panic!("{other}"),
    }
});
