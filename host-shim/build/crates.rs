//! The list of crates that the component is made of, inside the component, as `cargo auditable` writes it: a scanner can
//! then tell which known faults the component has. `cargo auditable` itself would be one more program to install, and
//! without it the same source would give other bytes.

use std::fmt::Write;

/// The name of the section. Its content is compressed JSON.
const SECTION: &str = ".dep-v0";

/// What every component begins with: a magic number and the version of the format.
const PREAMBLE: usize = 8;

/// Adds the list to a component. `with_build` is what `cargo tree --prefix depth --no-dedupe` prints of it, and `normal`
/// is that without what only build scripts use, which the former does not mark.
pub fn insert(component: &mut Vec<u8>, with_build: &str, normal: &str) -> Result<(), String> {
    let mut packages = packages(with_build)?;
    let normal = self::packages(normal)?;
    for package in &mut packages {
        package.runtime = normal.iter().any(|other| {
            other.runtime && other.name == package.name && other.version == package.version
        });
    }
    let content = zlib(json(&packages).as_bytes())?;
    let mut section = Vec::new();
    leb128(&mut section, SECTION.len());
    section.extend_from_slice(SECTION.as_bytes());
    section.extend_from_slice(&content);
    // Zero for a custom section. It is the first, as readers of it stop where the first module ends.
    let mut inserted = vec![0];
    leb128(&mut inserted, section.len());
    inserted.extend_from_slice(&section);
    if component.len() < PREAMBLE {
        return Err("what was built is not a component".to_owned());
    }
    component.splice(PREAMBLE..PREAMBLE, inserted);
    Ok(())
}

struct Package {
    name: String,
    version: String,
    local: bool,
    /// Whether it is in the component; otherwise it only helped to build it.
    runtime: bool,
    root: bool,
    dependencies: Vec<usize>,
}

fn packages(tree: &str) -> Result<Vec<Package>, String> {
    let mut packages: Vec<Package> = Vec::new();
    // The path from the root to the line before: a package, and whether it is in the component there.
    let mut path: Vec<(usize, bool)> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (depth, rest) = line.split_at(digits);
        let depth: usize = depth.parse().map_err(|_| format!("cargo tree: {line}"))?;
        let mut words = rest.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            return Err(format!("cargo tree: {line}"));
        };
        let version = version.trim_start_matches('v');
        path.truncate(depth);
        let runtime =
            path.last().is_none_or(|(_, runtime)| *runtime) && !rest.contains("(proc-macro)");
        let known = packages
            .iter()
            .position(|package| package.name == name && package.version == version);
        let index = known.unwrap_or(packages.len());
        if known.is_none() {
            packages.push(Package {
                name: name.to_owned(),
                version: version.to_owned(),
                // Of a package from elsewhere, cargo names no folder.
                local: rest.contains("(/"),
                runtime,
                root: depth == 0,
                dependencies: Vec::new(),
            });
        } else if let Some(package) = packages.get_mut(index) {
            package.runtime |= runtime;
        }
        if let Some((parent, _)) = path.last()
            && let Some(parent) = packages.get_mut(*parent)
            && !parent.dependencies.contains(&index)
        {
            parent.dependencies.push(index);
        }
        path.push((index, runtime));
    }
    if packages.is_empty() {
        return Err("cargo tree names no package".to_owned());
    }
    Ok(packages)
}

fn json(packages: &[Package]) -> String {
    let mut text = String::from("{\"packages\":[");
    for (index, package) in packages.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let source = if package.local { "local" } else { "crates.io" };
        // Neither names nor versions have characters that JSON escapes.
        let _ = write!(
            text,
            r#"{comma}{{"name":"{}","version":"{}","source":"{source}""#,
            package.name, package.version
        );
        if !package.runtime {
            text.push_str(r#","kind":"build""#);
        }
        if !package.dependencies.is_empty() {
            let mut indexes = package.dependencies.clone();
            indexes.sort_unstable();
            let indexes: Vec<String> = indexes.iter().map(usize::to_string).collect();
            let _ = write!(text, r#","dependencies":[{}]"#, indexes.join(","));
        }
        if package.root {
            text.push_str(r#","root":true"#);
        }
        text.push('}');
    }
    // Format 1 tells what only helped to build.
    text.push_str("],\"format\":1}");
    text
}

/// One block that is stored as it is, so that nothing more is needed to build this.
fn zlib(data: &[u8]) -> Result<Vec<u8>, String> {
    let length = u16::try_from(data.len())
        .map_err(|_| "the list of crates has over 64 KiB: write it in several blocks".to_owned())?;
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend_from_slice(&length.to_le_bytes());
    stream.extend_from_slice(&(!length).to_le_bytes());
    stream.extend_from_slice(data);
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend_from_slice(&((b << 16) | a).to_be_bytes());
    Ok(stream)
}

fn leb128(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}
