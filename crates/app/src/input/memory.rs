//! How much memory the machine, or the container, still has.

use std::fs;

/// Bytes that can be taken without swapping or being killed; the largest number where the system does not say.
pub fn available_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let folders = group_folders(&groups).into_iter().filter_map(|folder| {
        let limit = fs::read_to_string(format!("{folder}/memory.max")).ok()?;
        let used = fs::read_to_string(format!("{folder}/memory.current")).ok()?;
        group_bytes(&limit, &used)
    });
    folders.chain(machine).min().unwrap_or(u64::MAX)
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1_024)
}

/// The control groups (version 2) of this process, from its own to the root; each limits it.
fn group_folders(groups: &str) -> Vec<String> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let parents = std::path::Path::new(own).ancestors();
    parents.map(|folder| format!("/sys/fs/cgroup{}", folder.display())).collect()
}

/// `None` when the group has no limit.
fn group_bytes(limit: &str, used: &str) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok()?;
    Some(limit.saturating_sub(used.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_is_available() {
        assert_eq!(machine_bytes("MemTotal:  9 kB\nMemAvailable:       2 kB\n"), Some(2_048));
        assert_eq!(machine_bytes("nothing of the kind"), None);
    }

    #[test]
    fn a_group_limits_what_is_not_used_yet() {
        assert_eq!(group_bytes("1000\n", "400\n"), Some(600));
        assert_eq!(group_bytes("1000\n", "4000\n"), Some(0));
        assert_eq!(group_bytes("max\n", "400\n"), None);
        assert_eq!(group_folders("0::/a/b\n"), ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup/"]);
    }

    #[test]
    fn some_memory_is_available_here() {
        assert!(available_bytes() > 1 << 20);
    }
}
