//! `stopbank-checker keys`: API keys are made, listed, rotated and revoked.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use ring::rand::{SecureRandom as _, SystemRandom};
use stopbank_checker::{
    keys::{self, Entry, Hasher, Keys, SHORTEST_SECRET, is_name, is_prefix},
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::secrets;

/// Exit code where there is no such key.
const NOT_FOUND: u8 = 3;

/// Where keys are kept.
#[derive(Args)]
pub(crate) struct Store {
    /// The list of keys: their hashes, never they themselves. Made where there is none
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The server's secret, of 32 bytes or more, that keys are hashed with; FILE.secret unless it is given, made with the first key
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key, and show it: this once
    #[command(after_help = "\
Example:
  stopbank-checker keys add --file /etc/stopbank-checker/keys.toml --name billing@example.org --class gold --expires 90d")]
    Add {
        #[command(flatten)]
        store: Store,
        /// Whose it is; several keys may have one name
        #[arg(long)]
        name: String,
        /// Class of its holder, for rates
        #[arg(long)]
        class: Option<String>,
        /// What the key begins with, so that it is known for what it is wherever it turns up
        #[arg(long, default_value = "sbk")]
        prefix: String,
        /// For how long it is good: 90d, 12h; for ever unless it is given
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List the keys: id, name, class, when they were made and until when they are good
    Ls {
        #[command(flatten)]
        store: Store,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Revoke keys, at once
    Rm {
        #[command(flatten)]
        store: Store,
        /// The id of a key, or a name: then all keys of that name
        #[arg(value_name = "ID|NAME")]
        which: String,
    },
    /// Make a new key of a name, and show it: this once; those before it are good a while longer
    Rotate {
        #[command(flatten)]
        store: Store,
        /// Whose
        name: String,
        /// For how long the keys before it are good
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
        overlap: Duration,
        /// What the key begins with
        #[arg(long, default_value = "sbk")]
        prefix: String,
        /// For how long the new one is good; for ever unless it is given
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
}

impl KeysCommand {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        match self {
            Self::Add { store, name, class, prefix, expires } => {
                let _lock = store.lock()?;
                let mut list = store.read()?;
                let new = New { name, class: class.as_deref(), prefix, expires: *expires };
                let key = store.add(&mut list, &new, now)?;
                store.finish(&list, &key)
            }
            Self::Ls { store, json } => ls(&store.read()?, *json, now).map(|()| ExitCode::SUCCESS),
            Self::Rm { store, which } => store.rm(which),
            Self::Rotate { store, name, overlap, prefix, expires } => {
                let _lock = store.lock()?;
                let mut list = store.read()?;
                let Some(old) = list.expire(name, now, after(now, *overlap)) else {
                    return Ok(missing(name));
                };
                let new = New { name, class: old.class.as_deref(), prefix, expires: *expires };
                let key = store.add(&mut list, &new, now)?;
                store.finish(&list, &key)
            }
        }
    }
}

/// A key that is to be made.
struct New<'a> {
    name: &'a str,
    class: Option<&'a str>,
    prefix: &'a str,
    expires: Option<Duration>,
}

impl Store {
    /// Two that change the list do so one after the other. The lock is a file of its own: the list itself is replaced.
    fn lock(&self) -> Result<File> {
        let path = beside(&self.file, ".lock");
        let cannot = || format!("cannot lock {}", path.display());
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).with_context(cannot)?;
        file.lock().with_context(cannot)?;
        Ok(file)
    }

    fn read(&self) -> Result<Keys> {
        let name = self.file.display();
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keys::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        };
        let mut text = String::new();
        file.take(keys::LARGEST as u64 + 1)
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read {name}"))?;
        Keys::parse(&text).map_err(|error| anyhow!("{name}: {error}"))
    }

    fn add(&self, list: &mut Keys, new: &New<'_>, now: u64) -> Result<Zeroizing<String>> {
        for (what, text) in [("name", Some(new.name)), ("class", new.class)] {
            if text.is_some_and(|text| !is_name(text)) {
                bail!("--{what} is to have 1 to 64 letters, digits, `.`, `_`, `@` and `-`");
            }
        }
        if !is_prefix(new.prefix) {
            bail!("--prefix is to have 1 to 16 of a-z and 0-9");
        }
        let hasher = self.hasher(list)?;
        let mut random = Zeroizing::new([0; keys::RANDOM]);
        SystemRandom::new().fill(&mut *random).map_err(|_| anyhow!("the system gives no random bytes"))?;
        let key = keys::generate(new.prefix, &random).context("no key can be made of this prefix")?;
        let id = keys::parse(key.as_bytes()).context("a key that was made is none")?.id.to_owned();
        list.add(Entry {
            id,
            name: new.name.to_owned(),
            class: new.class.map(str::to_owned),
            created: now,
            expires: new.expires.map(|expires| after(now, expires)),
            hash: hasher.hash(key.as_bytes()),
        })?;
        Ok(key)
    }

    /// With the server's secret. Where there is none yet one is made, unless there are keys already: no key of theirs would ever match.
    fn hasher(&self, list: &Keys) -> Result<Hasher> {
        let path = self.secret.clone().unwrap_or_else(|| beside(&self.file, ".secret"));
        let name = path.display();
        let secret = if list.entries().is_empty() && !path.exists() && !secrets::is_credential(&path) {
            let mut bytes = Zeroizing::new([0; SHORTEST_SECRET]);
            SystemRandom::new().fill(&mut *bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
            // As text: a line feed at the end would not be taken for a part of it.
            let secret = Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()).into_bytes());
            write(&path, secret.expose())?;
            secret
        } else {
            let read = secrets::read(&path).context("cannot read the secret of these keys")?;
            Secret::of_file(read.expose().to_vec())
        };
        Hasher::new(secret.expose())
            .with_context(|| format!("the secret in {name} is shorter than {SHORTEST_SECRET} bytes"))
    }

    /// Keeps the list, and only then shows the key.
    fn finish(&self, list: &Keys, key: &str) -> Result<ExitCode> {
        write(&self.file, list.to_text().as_bytes())?;
        writeln!(io::stdout().lock(), "{key}")?;
        Ok(ExitCode::SUCCESS)
    }

    fn rm(&self, which: &str) -> Result<ExitCode> {
        let _lock = self.lock()?;
        let mut list = self.read()?;
        let gone = list.remove(which);
        if gone.is_empty() {
            return Ok(missing(which));
        }
        write(&self.file, list.to_text().as_bytes())?;
        let mut out = io::stdout().lock();
        for entry in gone {
            writeln!(out, "revoked {} {}", entry.id, entry.name)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn missing(which: &str) -> ExitCode {
    let which = stopbank_checker::printable(which, 64);
    let _ =
        writeln!(io::stderr(), "stopbank-checker: no key has the id or name {which}; `keys ls` lists them");
    ExitCode::from(NOT_FOUND)
}

fn ls(list: &Keys, json: bool, now: u64) -> Result<()> {
    let mut out = io::stdout().lock();
    let time = |seconds: u64| {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST)))
    };
    for entry in list.entries() {
        let Entry { id, name, class, created, expires, .. } = entry;
        let good = entry.is_good(now);
        if json {
            let object = serde_json::json!({
                "id": id, "name": name, "class": class, "created": created, "expires": expires, "good": good,
            });
            writeln!(out, "{object}")?;
            continue;
        }
        let until = match expires {
            None => "good for ever".to_owned(),
            Some(expires) if good => format!("good until {}", time(*expires)),
            Some(expires) => format!("over since {}", time(*expires)),
        };
        let class = class.as_deref().unwrap_or("-");
        writeln!(out, "{id}  {name:<24} {class:<12} made {}  {until}", time(*created))?;
    }
    Ok(())
}

/// The last second of 9999.
const LATEST: u64 = 253_402_300_799;

fn after(now: u64, time: Duration) -> u64 {
    now.saturating_add(time.as_secs()).min(LATEST)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Replaces a file as a whole, readable by its owner alone: whoever reads it meanwhile sees what was before or what is now.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    // A link leads to what is to be replaced; the name beside it is this process's own.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let new = beside(&file, &format!(".{}.new", std::process::id()));
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&new, &file)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        return Err(error).with_context(cannot);
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).with_context(cannot)
}
