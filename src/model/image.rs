//! Image references: parsed, compared and formatted.

use std::fmt;

use super::cluster::ImageParts;
use crate::error::Problem;

/// An image reference: `[registry/]repository[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry, as Docker distinguishes it from a repository: it contains a dot or a colon, or is
    /// `localhost`.
    pub registry: Option<String>,
    pub repository: String,
    pub tag: Option<String>,
    /// The digest, with its algorithm.
    pub digest: Option<String>,
}

impl fmt::Display for Image {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(out, "{registry}/")?;
        }
        write!(out, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

fn bad(text: &str, why: impl Into<String>) -> Problem {
    Problem::usage(format!("cannot use the image {text:?}"), why)
        .hint("an image is written [REGISTRY/]REPOSITORY:TAG, as in emqx/emqx-enterprise:5.8.7")
}

impl Image {
    /// Parses a reference (the grammar of `distribution/reference`, as far as Kubernetes accepts it).
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(bad(text, "it is empty"));
        }
        if let Some(odd) = text.chars().find(|letter| letter.is_whitespace() || letter.is_control()) {
            return Err(bad(text, format!("it holds {odd:?}")));
        }
        if text.contains("://") {
            return Err(bad(text, "it is a URL, and an image has no scheme"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to a registry's port.
        let last = rest.rfind('/').map_or(0, |place| place + 1);
        let (name, tag) = match rest[last..].split_once(':') {
            Some((_, tag)) => (&rest[..rest.len() - tag.len() - 1], Some(tag)),
            None => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, repository)) if first.contains(['.', ':']) || first == "localhost" => {
                (Some(first), repository)
            }
            _ => (None, name),
        };
        let part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "._-".contains(it))
        };
        if registry.is_some_and(|registry| registry.starts_with(':') || registry.ends_with(':')) {
            return Err(bad(text, "its registry is not complete"));
        }
        if !repository.split('/').all(part) {
            return Err(bad(
                text,
                format!("{repository:?} is no name of a repository: lower-case letters, digits, . _ -"),
            ));
        }
        if let Some(tag) = tag {
            let fits = |(place, it): (usize, char)| {
                it.is_ascii_alphanumeric() || it == '_' || (place > 0 && (it == '.' || it == '-'))
            };
            if tag.is_empty() || tag.len() > 128 || !tag.chars().enumerate().all(fits) {
                return Err(bad(text, format!("{tag:?} is no tag")));
            }
        }
        if let Some(digest) = digest {
            let whole = digest.split_once(':').is_some_and(|(algorithm, hex)| {
                !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|it| it.is_ascii_hexdigit())
            });
            if !whole {
                return Err(bad(text, format!("{digest:?} is no digest")));
            }
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The reference without tag and digest.
    pub(crate) fn name(&self) -> String {
        Self { tag: None, digest: None, ..self.clone() }.to_string()
    }

    /// The last part of the repository: mirrors in other registries keep it.
    pub(crate) fn last_part(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// EMQX's version by the tag, where the tag has one.
    pub(crate) fn version(&self) -> Option<EmqxVersion> {
        EmqxVersion::find(self.tag.as_deref()?)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EmqxVersion(pub u64, pub u64, pub u64);

impl EmqxVersion {
    /// The first `N.N.N` at the beginning of a tag: `5.8.7`, `v5.8.7`, `5.8.7-alpine`.
    pub(crate) fn find(tag: &str) -> Option<Self> {
        let tag = tag.strip_prefix(['v', 'e']).unwrap_or(tag);
        let mut parts = tag.splitn(3, '.');
        let (major, minor, rest) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        Some(Self(major, minor, rest[..digits].parse().ok()?))
    }
}

impl fmt::Display for EmqxVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The reference that the operator of v1beta4 builds: `[registry/]repository:prefix+version+suffix`.
pub(crate) fn joined(parts: &ImageParts) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let registry = parts.registry.as_ref().filter(|it| !it.is_empty());
    let registry = registry.map(|it| format!("{it}/")).unwrap_or_default();
    let tag = [part(&parts.prefix), part(&parts.version), part(&parts.suffix)].concat();
    let colon = if tag.is_empty() { "" } else { ":" };
    [registry, part(&parts.repository), colon.to_owned(), tag].concat()
}

/// The parts of v1beta4 for an image: a prefix and a suffix of the present tag are kept where the new tag has
/// them, else emptied.
pub(crate) fn parts(image: &Image, now: &ImageParts) -> Result<ImageParts, Problem> {
    let text = image.to_string();
    if image.digest.is_some() {
        return Err(bad(
            &text,
            "EmqxEnterprise v1beta4 names images by version and has no place for a digest",
        ));
    }
    let Some(tag) = &image.tag else {
        return Err(bad(&text, "it has no tag, and EmqxEnterprise v1beta4 needs a version"));
    };
    let (prefix, suffix) =
        (now.prefix.as_deref().unwrap_or_default(), now.suffix.as_deref().unwrap_or_default());
    let bare = tag
        .strip_prefix(prefix)
        .and_then(|tag| tag.strip_suffix(suffix))
        .filter(|version| EmqxVersion::find(version).is_some());
    // An apply cannot remove a part: where there was one, an empty text is written.
    let emptied = |part: &Option<String>| part.as_ref().map(|_| String::new());
    Ok(match bare {
        Some(version) => ImageParts {
            registry: image.registry.clone().or_else(|| emptied(&now.registry)),
            repository: Some(image.repository.clone()),
            version: Some(version.to_owned()),
            prefix: now.prefix.clone(),
            suffix: now.suffix.clone(),
        },
        None => ImageParts {
            registry: image.registry.clone().or_else(|| emptied(&now.registry)),
            repository: Some(image.repository.clone()),
            version: Some(tag.clone()),
            prefix: emptied(&now.prefix),
            suffix: emptied(&now.suffix),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_parsed_and_formatted() {
        let image = |text: &str| Image::parse(text).expect("it can be used");
        for text in [
            "emqx",
            "emqx/emqx-enterprise:5.8.7",
            "registry.example:5000/team/emqx/emqx-ee:4.4.24-alpine",
            "localhost/emqx:5.8.7",
            "localhost:5000/emqx",
            "quay.io/emqx/emqx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "emqx/emqx:5@sha256:0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(image(text).to_string(), text);
        }
        assert_eq!(image("registry.example:5000/a/b").registry.as_deref(), Some("registry.example:5000"));
        assert_eq!(image("localhost:5000/emqx").tag, None);
        assert_eq!((image("emqx/emqx:5.8").registry, image("a/b:1").repository.as_str()), (None, "a/b"));
    }

    #[test]
    fn an_invalid_image_is_reported_as_such() {
        for (text, why) in [
            ("", "empty"),
            ("emqx/emqx:", "no tag"),
            ("emqx/EMQX:1", "lower-case"),
            ("https://docker.io/emqx/emqx:1", "no scheme"),
            ("emqx /emqx", "holds ' '"),
            ("emqx/emqx:-1", "no tag"),
            ("emqx//emqx", "no name"),
            ("/emqx:1", "no name"),
            ("emqx/emqx@sha256:12", "no digest"),
            ("emqx\u{1b}[31m:1", "holds"),
            ("emqx/emqx:5.8.7:5.8.8", "no tag"),
        ] {
            let problem = Image::parse(text).expect_err(text);
            assert!(problem.why.contains(why), "{text}: {problem}");
            assert_eq!(problem.exit, crate::error::Exit::Usage);
        }
    }

    #[test]
    fn the_name_has_neither_tag_nor_digest() {
        let digest = "0123456789abcdef0123456789abcdef";
        let image = Image::parse(&format!("r:5000/mirror/emqx:5.8.6@sha256:{digest}")).expect("an image");
        assert_eq!((image.name().as_str(), image.last_part()), ("r:5000/mirror/emqx", "emqx"));
    }

    #[test]
    fn versions_are_found_in_tags() {
        for (tag, version) in [
            ("5.8.7", Some(EmqxVersion(5, 8, 7))),
            ("v5.10.1-alpine", Some(EmqxVersion(5, 10, 1))),
            ("e5.8.7", Some(EmqxVersion(5, 8, 7))),
            ("4.4.24-rc.1", Some(EmqxVersion(4, 4, 24))),
            ("latest", None),
            ("5.8", None),
            ("5.x.1", None),
        ] {
            assert_eq!(EmqxVersion::find(tag), version, "{tag}");
        }
    }

    #[test]
    fn v1beta4_has_a_field_for_each_part_of_the_image() {
        let part = |text: &str| Some(text.to_owned());
        let now = ImageParts {
            registry: part("r.example"),
            repository: part("emqx/emqx-ee"),
            version: part("4.4.20"),
            prefix: None,
            suffix: part("-alpine"),
        };
        let image = Image::parse("emqx/emqx-ee:4.4.24-alpine").expect("an image");
        let next = parts(&image, &now).expect("it has a version");
        assert_eq!((next.version.as_deref(), next.suffix.as_deref()), (Some("4.4.24"), Some("-alpine")));
        assert_eq!(next.registry.as_deref(), Some(""), "an empty one takes the old one's place");
        assert_eq!(joined(&next), "emqx/emqx-ee:4.4.24-alpine");
        let other = parts(&Image::parse("emqx/emqx-ee:4.4.24").expect("an image"), &now).expect("parts");
        assert_eq!((other.version.as_deref(), other.suffix.as_deref()), (Some("4.4.24"), Some("")));
        assert_eq!(joined(&other), "emqx/emqx-ee:4.4.24");
        assert_eq!(joined(&now), "r.example/emqx/emqx-ee:4.4.20-alpine");
        for text in ["emqx/emqx-ee", "emqx/emqx-ee:4.4.24@sha256:0123456789abcdef0123456789abcdef"] {
            assert!(parts(&Image::parse(text).expect("an image"), &now).is_err());
        }
    }
}
