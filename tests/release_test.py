#!/usr/bin/env python3
"""Tests the files of a release: the version in each of them, and the pinned actions."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def found(pattern, path):
    return re.findall(pattern, (ROOT / path).read_text(), re.M)


class Version(unittest.TestCase):
    def setUp(self):
        (self.version,) = found(r'^version = "(.*)"$', "Cargo.toml")

    def test_every_crate_has_the_workspace_s(self):
        crates = sorted(path.parent.name for path in ROOT.glob("*/Cargo.toml"))
        for crate in crates:
            inherited = found(r"^version\.workspace = true$", f"{crate}/Cargo.toml")
            self.assertEqual(len(inherited), 1, crate)
        for crate in crates:
            lock = found(rf'^name = "{crate}"\nversion = "(.*)"$', "Cargo.lock")
            self.assertEqual(lock, [self.version], crate)

    def test_chart_has_the_workspace_s(self):
        chart = "deploy/helm/github-topic-mirror/Chart.yaml"
        self.assertEqual(found(r"^(?:version|appVersion): (.*)$", chart), [self.version] * 2)

    def test_images_of_compose_have_the_workspace_s_as_their_tag(self):
        images = found(r"image: (.*github-topic-mirror.*)$", "docker-compose.yml")
        self.assertGreater(len(images), 4)
        for image in images:
            tagged = r'"\$\{IMAGE_PREFIX:-\}github-topic-mirror-[a-z-]+:\$\{IMAGE_TAG:-(.*)\}"'
            self.assertEqual(re.findall(tagged, image), [self.version], image)

    def test_changelog_has_a_section_for_it(self):
        releases = found(r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", "CHANGELOG.md")
        self.assertEqual(releases[:1], [self.version])


class Workflows(unittest.TestCase):
    def test_actions_are_pinned_by_the_hash_of_a_commit(self):
        workflows = sorted(ROOT.glob(".github/workflows/*.yml"))
        actions = [use for path in workflows for use in found(r"uses: (\S+)", path)]
        self.assertGreater(len(actions), 5)
        for action in actions:
            self.assertRegex(action, r"@[0-9a-f]{40}$")


if __name__ == "__main__":
    unittest.main()
