# The command line and the server as a Homebrew formula, for machines without a window. The release's source is installed
# with what constraints.txt was tested with; a release writes its sum into a copy of this, packaging/homebrew/sums.py.
class MlxSpec < Formula
  desc "Exact speculative decoding for local language models: command-line and server"
  homepage "https://github.com/lookahead-spec/lookahead"
  url "https://github.com/lookahead-spec/lookahead/releases/download/v0.1.0/lookahead_spec-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@3.12"

  def install
    system "python3.12", "-m", "venv", libexec
    system libexec/"bin/python", "-m", "pip", "install", "--no-cache-dir", "-c", "constraints.txt", "."
    bin.install_symlink libexec/"bin/mlx-spec"
  end

  service do
    run [opt_bin/"mlx-spec", "serve"]
    keep_alive successful_exit: false
    log_path var/"log/mlx-spec.log"
    error_log_path var/"log/mlx-spec.log"
  end

  test do
    assert_match "mlx-spec #{version}", shell_output("#{bin}/mlx-spec --version")
    assert_match "starter", shell_output("#{bin}/mlx-spec models pairs --json")
  end
end
