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

# From here on a command that fails without a word is named, with its place, before the script ends because of it.
explain_failures() {
    set -E
    # Not in a command substitution, which is without -e: there the caller decides.
    trap '[[ $- != *e* ]] || note "${BASH_SOURCE[0]:-shell}:$LINENO: exit status $?: $BASH_COMMAND"' ERR
}

# Runs a command again if it fails, as what is downloaded may be there a moment later. Usage: tries COUNT COMMAND...
tries() {
    local left=$1 pause=${FPMD_RETRY_PAUSE:-5}
    shift
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        note "$1 failed; once more in $pause s"
        sleep "$pause"
    done
}

# A gate is one command that must succeed. Exit status 77 says that its tool is not installed.
gates_passed=0
gates_failed=()
gates_skipped=()

gate_ends=()

gate() {
    local name=$1 status=0 log reader
    shift
    say "== $name"
    log=$(mktemp)
    # What a gate leaves running may hold the pipe open; nobody waits for that.
    exec {gate_output}> >(exec tee "$log")
    reader=$!
    # In its own shell: a gate that ends with `exit` ends alone.
    ("$@") >&"$gate_output" 2>&1 {gate_output}>&- || status=$?
    exec {gate_output}>&-
    within 5 reader_ended "$reader" || true
    case $status in
        0) gates_passed=$((gates_passed + 1)) ;;
        77) gates_skipped+=("$name") ;;
        *)
            say "== $name: FAILED, exit status $status"
            gates_failed+=("$name")
            gate_ends+=("$(tail -n 25 "$log")")
            ;;
    esac
    rm -f "$log"
}
reader_ended() { ! kill -0 "$1" 2>/dev/null; }

# Prints how each gate that failed ended, which failed or were skipped, then "N passed, N failed"; fails if any gate did.
summary() {
    local number
    for number in "${!gates_failed[@]}"; do
        printf '\n-- the end of: %s\n%s\n' "${gates_failed[number]}" "${gate_ends[number]}"
    done
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
