# The app as a Homebrew cask. `version` follows pyproject.toml, and tests/packaging/test_homebrew.py holds it to that;
# a release writes the sum of its disk image into a copy of this, packaging/homebrew/sums.py.
cask "lookahead" do
  version "0.1.0"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"

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
