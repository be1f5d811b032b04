# shellcheck shell=bash
# For the scripts of this directory: wait in a guest until something holds. They say what `fail` shows, and have `dir`.

# until_true WHAT COMMAND [ARGUMENT...]: 30 s, by a clock of the guest that may only count instructions.
until_true() {
    local what=$1 tries
    shift
    for tries in $(seq 300); do
        if "$@" > "$dir/last" 2>&1; then return 0; fi
        read -rt 0.1 <> <(:) || true
    done
    fail "$what: $* said: $(cat "$dir/last")"
}
