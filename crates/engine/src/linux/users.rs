//! The user that an image asks for, resolved inside of its root file system.
//!
//! What an image says is hostile: a number above the range once became root (CVE-2024-40635), a
//! name that is not there must never become root either.

use std::fs::File;
use std::io::{Read, Take};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::linux::failure::Failure;

/// Largest id that an instance may run as; 65,535 is "nobody" to many tools and -1 in 16 bits.
const ID_MAX: u32 = 65_534;
/// Largest file of users or groups that is read.
const FILE_MAX: u64 = 1024 * 1024;
/// Longest line of it that counts.
const LINE_MAX: usize = 4096;
/// Most supplementary groups.
const GROUPS_MAX: usize = 64;

/// Ids to run as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Resolves `user` (`uid`, `name`, each perhaps with `:gid` or `:group`) with the files below
/// `root`. Empty means root.
///
/// # Errors
/// `IMAGE_USER_INVALID`.
pub(crate) fn resolve(user: &str, root: BorrowedFd<'_>) -> Result<User, Failure> {
    if user.is_empty() {
        return Ok(User::default());
    }
    resolve_with(user, |path| read(root, path))
}

fn resolve_with(
    user: &str,
    read: impl Fn(&str) -> Result<Option<String>, String>,
) -> Result<User, Failure> {
    let invalid = |why: String| Failure::new("IMAGE_USER_INVALID", format!("user {user:?}: {why}"));
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let by_number = number(name).map_err(&invalid)?;
    let passwd = read("etc/passwd");
    let entries = match (&passwd, by_number) {
        (Ok(Some(text)), _) => text.as_str(),
        // A number needs no file.
        (_, Some(_)) => "",
        (Ok(None), None) => return Err(invalid("the image has no /etc/passwd".into())),
        (Err(why), None) => return Err(invalid(why.clone())),
    };
    let entry = entries.lines().filter(|line| line.len() <= LINE_MAX).find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [entry_name, _, uid, gid, ..] = fields[..] else { return None };
        let (uid, gid) = (number(uid).ok()??, number(gid).ok()??);
        let same = by_number.map_or(entry_name == name, |wanted| wanted == uid);
        same.then(|| (entry_name.to_owned(), uid, gid))
    });
    let mut found = match (&entry, by_number) {
        (Some((_, uid, gid)), _) => User { uid: *uid, gid: *gid, groups: Vec::new() },
        (None, Some(uid)) => User { uid, ..User::default() },
        (None, None) => return Err(invalid("it is not in the image's /etc/passwd".into())),
    };
    let groups = read("etc/group");
    if let Some(group) = group {
        found.gid = resolve_group(group, &groups).map_err(&invalid)?;
    } else if let (Some((entry_name, ..)), Ok(Some(text))) = (&entry, &groups) {
        found.groups = groups_of(entry_name, text);
    }
    Ok(found)
}

fn resolve_group(group: &str, groups: &Result<Option<String>, String>) -> Result<u32, String> {
    if let Some(gid) = number(group)? {
        return Ok(gid);
    }
    let text = match groups {
        Ok(Some(text)) => text,
        Ok(None) => return Err("the image has no /etc/group".into()),
        Err(why) => return Err(why.clone()),
    };
    let found = text.lines().filter(|line| line.len() <= LINE_MAX).find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, ..] = fields[..] else { return None };
        if name == group { number(gid).ok()? } else { None }
    });
    found.ok_or_else(|| format!("group {group:?} is not in the image's /etc/group"))
}

fn groups_of(user: &str, text: &str) -> Vec<u32> {
    text.lines()
        .filter(|line| line.len() <= LINE_MAX)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members, ..] = fields[..] else { return None };
            let member = members.split(',').any(|member| member == user);
            if member { number(gid).ok()? } else { None }
        })
        .take(GROUPS_MAX)
        .collect()
}

/// `text` as an id; `None` when it is a name.
fn number(text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() {
        return Err("a user or group must not be empty".into());
    }
    let looks_like_a_number =
        text.starts_with(['+', '-']) || text.bytes().all(|byte| byte.is_ascii_digit());
    if !looks_like_a_number {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= ID_MAX && !text.starts_with('+') => Ok(Some(id)),
        _ => Err(format!("{text} is not allowed: ids are 0 to {ID_MAX}")),
    }
}

/// The text of a regular file below `root`, without following any symbolic link.
fn read(root: BorrowedFd<'_>, path: &str) -> Result<Option<String>, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let file = match rustix::fs::openat2(root, path, flags, Mode::empty(), how) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(format!("the image's /{path} cannot be read: {errno}")),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| errno.to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(format!("the image's /{path} is not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut limited: Take<File> = File::from(file).take(FILE_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("the image's /{path} is larger than {FILE_MAX} bytes"));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/false\n\
                          bad:x:4294967296:0::/:\nbig:x:65535:0::/:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:web,other\nlog:x:4:web\n";

    fn resolved(user: &str) -> Result<User, Failure> {
        resolve_with(user, |path| {
            Ok(Some(if path == "etc/passwd" { PASSWD } else { GROUP }.to_owned()))
        })
    }

    #[test]
    fn names_and_numbers() {
        let web = resolved("web").unwrap();
        assert_eq!((web.uid, web.gid, &web.groups[..]), (101, 102, &[33, 4][..]));
        assert_eq!(resolved("101").unwrap(), web);
        let other = resolved("web:www").unwrap();
        assert_eq!((other.uid, other.gid, other.groups.len()), (101, 33, 0));
        let numbers = resolved("1000:1001").unwrap();
        assert_eq!((numbers.uid, numbers.gid), (1000, 1001));
        assert_eq!(resolved("1000").unwrap().gid, 0);
    }

    #[test]
    fn nothing_wrong_becomes_root() {
        for user in [
            "4294967296",
            "2147483648",
            "65535",
            "-1",
            "+0",
            "nobody",
            "bad",
            "big",
            ":0",
            "web:",
            "web:none",
            "0:99999",
            "0x0",
            "0 ",
            " 0",
        ] {
            let failure = resolved(user).unwrap_err();
            assert_eq!(failure.code, "IMAGE_USER_INVALID", "{user}");
        }
    }

    #[test]
    fn numbers_need_no_files() {
        let none = |_: &str| Ok(None);
        assert_eq!(resolve_with("5:6", none).unwrap().gid, 6);
        assert!(resolve_with("web", none).is_err());
        assert!(resolve_with("5:www", none).is_err());
    }
}
