# shellcheck shell=bash
# Sourced by the scripts beside it: messages, the project's root, the toolchain, and counted gates.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s\n' "$*"; }
note() { printf 'fpmd: %s\n' "$*" >&2; }
fail() {
    note "$*"
    exit 1
}

# Whether root works in the source tree of whoever called sudo.
below_sudo() {
    [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ] && [ "$(stat -c %u "$root")" = "$SUDO_UID" ]
}

# Sets `swift` to a working driver, or ends with the message of find-swift. Below sudo, what it leaves
# behind is made the caller's again, so that `make` works with and without sudo in turn.
need_swift() {
    swift=$("$root/scripts/find-swift") || exit 1
    # The compiler drivers are looked up in PATH by what it starts.
    PATH=$(dirname "$swift"):$PATH
    export PATH SWIFT=$swift
    if below_sudo && [ -z "${fpmd_temporary:-}" ]; then
        # SwiftPM keeps lock files in the temporary directory, and in /tmp the kernel lets not even root
        # open those of another user (fs.protected_regular).
        fpmd_temporary=$(mktemp -d /tmp/fpmd-swift.XXXXXX)
        chmod 755 "$fpmd_temporary"
        export fpmd_temporary TMPDIR=$fpmd_temporary
        trap return_ownership EXIT
    fi
}
return_ownership() {
    rm -rf "$fpmd_temporary"/{*.lock,TemporaryDirectory.*}
    # What is left was kept by a failed test.
    rmdir --ignore-fail-on-non-empty "$fpmd_temporary" || true
    local path
    for path in .build Package.resolved; do
        [ ! -e "$root/$path" ] ||
            chown -R --no-dereference "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$root/$path"
    done
}

# A gate is one command that must succeed. Exit status 77 says that its tool is not installed.
gates_passed=0
gates_failed=()
gates_skipped=()

gate() {
    local name=$1 status=0
    shift
    say "== $name"
    # In its own shell: a gate that ends with `exit` ends alone.
    ("$@") || status=$?
    case $status in
        0) gates_passed=$((gates_passed + 1)) ;;
        77) gates_skipped+=("$name") ;;
        *) gates_failed+=("$name") ;;
    esac
}

# Prints which gates failed or were skipped, then "N passed, N failed"; fails if any gate did.
summary() {
    say ""
    [ ${#gates_skipped[@]} = 0 ] || printf 'skipped: %s\n' "${gates_skipped[@]}"
    [ ${#gates_failed[@]} = 0 ] || printf 'FAILED: %s\n' "${gates_failed[@]}"
    say "$gates_passed passed, ${#gates_failed[@]} failed"
    [ ${#gates_failed[@]} = 0 ]
}

# Succeeds as soon as the command does, fails after that many seconds. Usage: within SECONDS COMMAND...
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}
