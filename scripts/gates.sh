# shellcheck shell=bash
# Sourced by check and test: the gates that need no build of the programs.
static_gates() {
    gate "shell scripts" "$root/scripts/gates/shell"
    gate "manual pages" "$root/scripts/gates/manual"
    gate "systemd unit" "$root/scripts/gates/unit"
    gate "sample configurations" "$root/scripts/gates/samples"
    gate "alert rules and dashboard" "$root/scripts/gates/monitoring"
    gate "links in documents" "$root/scripts/gates/links"
    gate "Kubernetes manifests" "$root/scripts/gates/manifests"
    gate "Kubernetes' schemas" "$root/scripts/gates/schemas"
    gate "fields of pools' lines" "$root/scripts/gates/pool-lines"
    gate "generated documents" "$root/scripts/generate" --check
    gate "Swift format" "$root/scripts/gates/format"
    gate "gates reject what they must" "$root/scripts/check-selftest"
}
