//! Slurm's lists of nodes, `node[01-03,7],other`, and of tasks on each of them, `2(x3),1`.

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

/// Number of tasks on a node; `None` if the list does not say it.
pub(super) fn tasks(list: &str, node: usize) -> Option<usize> {
    let mut before = 0;
    for part in list.trim().split(',') {
        let (tasks, nodes) = match part.split_once("(x") {
            Some((tasks, nodes)) => (tasks, nodes.strip_suffix(')')?.parse().ok()?),
            None => (part, 1_usize),
        };
        let tasks = tasks.parse().ok()?;
        before += nodes;
        if node < before {
            return Some(tasks);
        }
    }
    None
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

    #[test]
    fn counts_the_tasks_of_a_node() {
        for (list, node, expected) in [
            ("4", 0, Some(4)),
            ("4", 1, None),
            ("2(x3),1", 2, Some(2)),
            ("2(x3),1", 3, Some(1)),
            ("2(x3),1", 4, None),
            ("2(3),1", 1, None),
            ("", 0, None),
        ] {
            assert_eq!(tasks(list, node), expected, "{list} {node}");
        }
    }
}
