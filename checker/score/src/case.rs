//! What is judged: values and whole requests, each with what it is and with the half of the data that it belongs to.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a case is known to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Label {
    /// To be refused.
    Attack,
    /// To be allowed.
    Benign,
    /// A whole statement of SQL, a shell's command or markup with script that a package's documentation shows: nothing in the value tells it from
    /// an attack. Shown, and counted for no figure.
    Either,
}

/// The half that a case belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Split {
    /// The detector was tuned on it.
    Tune,
    /// The detector's figures are measured on it, and nobody looks at what is in it.
    Report,
}

impl Split {
    /// The half of an attack: by the first byte of its SHA-256.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if digest(bytes)[0] < 128 { Self::Report } else { Self::Tune }
    }
}

/// SHA-256, by which samples are drawn too: the smallest ones are a sample that is the same everywhere.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// One thing to judge. A line of JSON in the files of sets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) set: String,
    pub(crate) class: String,
    pub(crate) label: Label,
    pub(crate) split: Split,
    /// A value, to be put into a request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) value: Option<String>,
    /// A whole request, in base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    raw: Option<String>,
}

impl Case {
    /// A value.
    pub(crate) fn value(set: &str, class: &str, label: Label, split: Split, value: String) -> Self {
        Self { set: set.to_owned(), class: class.to_owned(), label, split, value: Some(value), raw: None }
    }

    /// A whole request.
    pub(crate) fn raw(set: &str, class: &str, label: Label, split: Split, request: &[u8]) -> Self {
        let raw = Some(STANDARD.encode(request));
        Self { set: set.to_owned(), class: class.to_owned(), label, split, value: None, raw }
    }

    /// The whole request, where it is one.
    pub(crate) fn request(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.raw.as_ref()?).ok()
    }
}

/// Writes cases to `file`, in one step: who reads at the same time sees all or nothing.
pub(crate) fn write(file: &Path, cases: &[Case]) -> Result<()> {
    let part = file.with_extension("part");
    let name = part.display();
    let mut out = BufWriter::new(File::create(&part).with_context(|| format!("cannot write {name}"))?);
    for case in cases {
        serde_json::to_writer(&mut out, case)?;
        out.write_all(b"\n")?;
    }
    out.into_inner().with_context(|| format!("cannot write {name}"))?.sync_all()?;
    std::fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(file: &Path) -> Result<Vec<Case>> {
    let input = BufReader::new(File::open(file).with_context(|| format!("cannot open {}", file.display()))?);
    let mut cases = Vec::new();
    for line in input.lines() {
        cases.push(serde_json::from_str(&line?).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(cases)
}
