//! Checks that every engine makes before it starts an instance: a spec that passes here can be
//! turned into an `execve` without surprises. Host-specific checks (does the layer exist, is the
//! memory there) belong to the engine.

use ebb_model::engine::{ContainerSpec, InstanceSpec, RestartPolicy};
use ebb_model::name;

use crate::Error;

/// The isolation tier that the built-in engines run.
pub const RUNTIME: &str = "ebb";
/// Most environment variables of a container: `execve` allows more, nobody needs them.
pub const ENV_MAX: usize = 1_000;
/// Most bytes of arguments, and of environment, of a container: 128 KiB each. Linux allows one
/// argument of this size (`MAX_ARG_STRLEN`, 32 pages).
pub const ARGS_BYTES_MAX: usize = 128 * 1024;
/// Least memory limit, in bytes: below 1 MiB not even a static program starts.
pub const MEMORY_MIN_BYTES: u64 = 1024 * 1024;
/// Longest path that the kernel takes, without its final NUL (`PATH_MAX` is 4,096).
const PATH_MAX: usize = 4_095;

/// Checks `spec`, naming the first wrong field as a path such as `containers[0].argv`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn spec(spec: &InstanceSpec) -> Result<(), Error> {
    if let Err(fault) = name::check_subdomain(&spec.name, "name") {
        return invalid("name", fault.message);
    }
    if spec.runtime != RUNTIME {
        return invalid(
            "runtime",
            format!("isolation tier {:?} is not available here; {RUNTIME:?} is", spec.runtime),
        );
    }
    if !spec.init.is_empty() {
        return invalid("init", "containers that run before the others are not supported yet");
    }
    if spec.containers.len() != 1 {
        return invalid(
            "containers",
            format!("{} containers are given; exactly one is supported", spec.containers.len()),
        );
    }
    if spec.restart_policy != RestartPolicy::Never {
        return invalid("restart_policy", "only Never is supported");
    }
    if spec.start_timeout_ms == 0 {
        return invalid("start_timeout_ms", "must be at least 1");
    }
    container(&spec.containers[0], "containers[0]")
}

fn container(container: &ContainerSpec, at: &str) -> Result<(), Error> {
    if let Err(fault) = name::check_label(&container.name, "name", 63) {
        return invalid(format!("{at}.name"), fault.message);
    }
    argv(&container.argv, &format!("{at}.argv"))?;
    env(&container.env, &format!("{at}.env"))?;
    let dir = &container.working_dir;
    if !dir.starts_with('/') || dir.contains('\0') || dir.len() > PATH_MAX {
        return invalid(
            format!("{at}.working_dir"),
            format!("must be an absolute path of at most {PATH_MAX} bytes"),
        );
    }
    if container.user.contains('\0') {
        return invalid(format!("{at}.user"), "must not contain a NUL byte");
    }
    if container.port == Some(0) {
        return invalid(format!("{at}.port"), "must be 1 to 65535");
    }
    for (resource, limit) in &container.limits {
        limits(resource, *limit, &format!("{at}.limits[{resource}]"))?;
    }
    Ok(())
}

fn argv(argv: &[String], at: &str) -> Result<(), Error> {
    if argv.first().is_none_or(String::is_empty) {
        return invalid(at, "needs a program to run");
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return invalid(at, "must not contain a NUL byte");
    }
    if argv.iter().map(|word| word.len() + 1).sum::<usize>() > ARGS_BYTES_MAX {
        return invalid(at, format!("at most {ARGS_BYTES_MAX} bytes are allowed"));
    }
    Ok(())
}

fn env(env: &[(String, String)], at: &str) -> Result<(), Error> {
    if env.len() > ENV_MAX {
        return invalid(at, format!("{} variables are given; at most {ENV_MAX}", env.len()));
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return invalid(
                at,
                format!("{name:?} is not allowed: a name has no '=', neither part has a NUL byte"),
            );
        }
    }
    if env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() > ARGS_BYTES_MAX
    {
        return invalid(at, format!("at most {ARGS_BYTES_MAX} bytes are allowed"));
    }
    Ok(())
}

fn limits(resource: &str, limit: u64, at: &str) -> Result<(), Error> {
    match resource {
        "cpu" if limit == 0 => invalid(at, "must be at least 1 thousandth of a CPU"),
        "memory" if limit < MEMORY_MIN_BYTES => {
            invalid(at, format!("must be at least {MEMORY_MIN_BYTES} bytes"))
        }
        "cpu" | "memory" => Ok(()),
        _ => invalid(at, "this engine does not know the resource; it knows cpu and memory"),
    }
}

fn invalid<T>(field: impl Into<String>, message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Invalid { field: field.into(), message: message.into() })
}
