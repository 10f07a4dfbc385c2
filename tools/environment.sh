#!/bin/sh
# Makes the virtual environment $VENV with $PYTHON, or with the first interpreter found that is new enough.
# An environment that works is kept; one that was left half-made is made again.
set -eu

VENV=${VENV:-.venv}
IS_NEW_ENOUGH='import sys; sys.exit(sys.version_info < (3, 11))'
HAS_VENV='import ensurepip, venv'

fail() {
    printf 'fluosr: %s\n' "$@" >&2
    exit 1
}

if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -c "$IS_NEW_ENOUGH" 2>/dev/null &&
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
# --clear below empties the folder: only one that is, or was to become, an environment.
if [ -d "$VENV" ] && [ "$VENV" != .venv ] && [ ! -e "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A "$VENV")" ]; then
    fail "the folder $VENV holds something that is no virtual environment; name another with VENV=folder."
fi

chosen=
if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON was not found."
    "$PYTHON" -c "$IS_NEW_ENOUGH" 2>/dev/null ||
        fail "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 | head -n 1); Python 3.11 or newer is needed."
    chosen=$PYTHON
else
    without_venv=
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        "$candidate" -c "$IS_NEW_ENOUGH" >/dev/null 2>&1 || continue
        if "$candidate" -c "$HAS_VENV" >/dev/null 2>&1; then
            chosen=$candidate
            break
        fi
        without_venv=${without_venv:-$candidate}
    done
    chosen=${chosen:-$without_venv}
fi
[ -n "$chosen" ] || fail \
    "Python 3.11 or newer is needed; python3 here is: $(python3 --version 2>&1 | head -n 1)." \
    "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
"$chosen" -c "$HAS_VENV" >/dev/null 2>&1 || fail \
    "$("$chosen" --version 2>&1) ($chosen) comes without the modules venv and ensurepip." \
    "On Debian and Ubuntu: apt install python3-venv. Or name another interpreter: make PYTHON=... ..."

printf 'Making %s with %s (%s) ...\n' "$VENV" "$("$chosen" --version 2>&1)" "$(command -v "$chosen")"
"$chosen" -m venv --clear "$VENV" || fail "the environment $VENV could not be made (see above)."
