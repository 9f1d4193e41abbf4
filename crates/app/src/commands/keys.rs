//! `assay keys`: makes, shows, replaces and takes back the keys that `assay serve --keys` asks for.

use std::io::{Write, stderr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Failure, say};
use crate::clock;
use crate::duration::Seconds;
use crate::keys::{self, Key, Rate, Scope, State, Wanted, file};

/// Make, list, rotate and revoke the keys of a server's clients. A running `assay serve --keys` follows within a second.
#[derive(Args)]
pub struct Keys {
    #[command(subcommand)]
    act: Act,
}

/// Where keys are.
#[derive(Args)]
struct At {
    /// The file of keys. It holds no key, only what is needed to know one again.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
}

#[derive(Subcommand)]
enum Act {
    /// Make a key and write it to standard output: the only time it is shown.
    Create {
        /// Whose it is, like `checkout` or `prometheus`.
        #[arg(long)]
        name: String,

        /// What its holder may do; may be repeated.
        #[arg(long = "scope", value_enum, value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,

        /// How long it is taken, as in 90d or 12h [default: until it is revoked].
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Seconds>,

        /// Requests a second that its holder may make; more are answered 429 [default: as many as the server can answer].
        #[arg(long, value_name = "REQUESTS")]
        rate: Option<NonZeroU32>,

        /// Requests that its holder may make at once after a rest [default: as many as in a second].
        #[arg(long, value_name = "REQUESTS", requires = "rate")]
        burst: Option<NonZeroU32>,

        #[command(flatten)]
        at: At,
    },
    /// Show all keys: ids, names, scopes and times.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        at: At,
    },
    /// Make a key in the place of another, which stays good for a while, and write it to standard output.
    Rotate {
        /// The id of the old key, as `list` shows it.
        id: String,

        /// How long the old key stays good; 0 ends it at once.
        #[arg(long, value_name = "TIME", default_value = "1d")]
        overlap: Seconds,

        /// How long the new key is taken [default: as long as the old one was made for].
        #[arg(long, value_name = "TIME")]
        expires_in: Option<Seconds>,

        #[command(flatten)]
        at: At,
    },
    /// Take a key back, at once and for good.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,

        #[command(flatten)]
        at: At,
    },
}

/// Does it.
pub fn run(arguments: &Keys) -> Result<(), Failure> {
    let now = now()?;
    match &arguments.act {
        Act::Create { name, scopes, expires_in, rate, burst, at } => {
            let lifetime = expires_in.map(length).transpose()?;
            let rate = rate.map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) });
            let wanted = Wanted { name: name.clone(), scopes: scopes.iter().copied().collect(), lifetime, rate };
            hand_over(&file::change(&at.keys, true, |keys| keys::create(keys, wanted, now))?)?;
        }
        Act::List { json, at } => list(&file::read(&at.keys)?, *json, now)?,
        Act::Rotate { id, overlap, expires_in, at } => {
            let (lifetime, kept) = (expires_in.map(length).transpose()?, length(*overlap)?);
            hand_over(&file::change(&at.keys, false, |keys| keys::rotate(keys, id, kept, lifetime, now))?)?;
            remark(format_args!("The old key, {id}, stays good for {overlap} at most."));
        }
        Act::Revoke { id, at } => {
            file::change(&at.keys, false, |keys| keys::revoke(keys, id, now))?;
            remark(format_args!("The key {id} is revoked; a running server refuses it within a second."));
        }
    }
    Ok(())
}

/// The key goes to standard output and nothing else does, so that it can be piped to where it belongs.
fn hand_over(key: &str) -> Result<(), Failure> {
    say(key)?;
    remark("This key is shown once and stored nowhere: keep it where your client's secrets are.");
    Ok(())
}

fn list(keys: &[Key], as_json: bool, now: Timestamp) -> Result<(), Failure> {
    if as_json {
        let about = |key: &Key| {
            json!({
                "id": key.id, "name": key.name, "state": word(key.state(now)), "scopes": key.scopes, "created": key.created,
                "expires": key.expires, "revoked": key.revoked, "rate": key.rate,
            })
        };
        return say(keys.iter().map(about).collect::<serde_json::Value>());
    }
    let longest = keys.iter().map(|key| key.name.len()).chain([4]).max().unwrap_or_default();
    say(format_args!(
        "{:8}  {:longest$}  {:7}  {:20}  {:20}  {:8}  scopes",
        "id", "name", "state", "created", "expires", "rate"
    ))?;
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.word()).collect();
        let expires = key.expires.map_or_else(|| "never".into(), |expires| expires.to_string());
        let rate = key.rate.map_or_else(|| "any".into(), |rate| format!("{}/s", rate.per_second));
        say(format_args!(
            "{}  {:longest$}  {:7}  {:20}  {expires:20}  {rate:8}  {}",
            key.id.as_str(),
            key.name,
            word(key.state(now)),
            key.created.to_string(),
            scopes.join(", ")
        ))?;
    }
    Ok(())
}

fn word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Expired => "expired",
        State::Revoked => "revoked",
    }
}

/// The time in whole seconds: nobody needs a key's to be finer.
fn now() -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_second(clock::timestamp().as_second())?)
}

fn length(time: Seconds) -> Result<SignedDuration, Failure> {
    SignedDuration::try_from_secs_f64(time.0.floor()).map_err(|_| keys::KeyError::TooLong.into())
}

/// A line beside the result. That nobody reads it does no harm.
fn remark(line: impl std::fmt::Display) {
    writeln!(stderr(), "{line}").ok();
}
