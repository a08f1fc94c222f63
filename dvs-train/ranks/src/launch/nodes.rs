//! Slurm's lists of nodes: `node[01-03,7],other`.

/// The first node of a list; `None` if it is not such a list.
pub(super) fn first(list: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), list.trim());
    while let Some(end) = rest.find(['[', ',']) {
        name.push_str(&rest[..end]);
        if rest[end..].starts_with(',') {
            return valid(name);
        }
        let (ranges, after) = rest[end + 1..].split_once(']')?;
        let number = ranges.split([',', '-']).next()?;
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        name.push_str(number);
        rest = after;
    }
    name.push_str(rest);
    valid(name)
}

fn valid(name: String) -> Option<String> {
    let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    (!name.is_empty() && name.chars().all(known)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_node_of_a_list() {
        for (list, node) in [
            ("node01", "node01"),
            ("node[01-03,7],other", "node01"),
            ("other,node[01-03]", "other"),
            ("node[7,9-12]", "node7"),
            ("rack[2-3]node[004-009],x", "rack2node004"),
            ("a[1-2]-ib.cluster,b", "a1-ib.cluster"),
            (" gpu-1.site.org ", "gpu-1.site.org"),
        ] {
            assert_eq!(first(list).as_deref(), Some(node), "{list}");
        }
        for list in [
            "",
            "node[01-03",
            "node[]",
            "node[x-z]",
            ",node1",
            "no de",
            "a]b",
        ] {
            assert_eq!(first(list), None, "{list}");
        }
    }
}
