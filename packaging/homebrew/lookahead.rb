# The app as a Homebrew cask. `version` follows pyproject.toml, and tests/packaging/test_homebrew.py holds it to that;
# `sha256` is the one that packaging/release.sh writes into SHA256SUMS: until there is a release, nothing is checked.
cask "lookahead" do
  version "0.1.0"
  sha256 :no_check

  url "https://github.com/lookahead-spec/lookahead/releases/download/v#{version}/Lookahead-#{version}-arm64.dmg"
  name "Lookahead"
  desc "Chat with local language models by exact speculative decoding"
  homepage "https://github.com/lookahead-spec/lookahead"

  livecheck do
    url :url
    strategy :github_latest
  end

  depends_on arch: :arm64
  depends_on macos: ">= :sonoma"

  app "Lookahead.app"
  binary "#{appdir}/Lookahead.app/Contents/MacOS/mlx-spec"

  uninstall launchctl: "org.lookahead-spec.serve",
            quit:      "org.lookahead-spec.Lookahead"

  zap trash: [
    "~/Library/Application Support/Lookahead",
    "~/Library/LaunchAgents/org.lookahead-spec.serve.plist",
    "~/Library/Logs/Lookahead",
    "~/Library/Preferences/org.lookahead-spec.Lookahead.plist",
    "~/Library/Saved Application State/org.lookahead-spec.Lookahead.savedState",
  ]
end
