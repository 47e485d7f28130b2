#!/bin/sh
# Build .venv, with everything a developer needs, unless it is current. Run from the checkout's root.
#
# .venv/stamp is the last thing written: it names what the environment was built from, and without it, or with
# another one, .venv is built again. PYTHON names the interpreter to use; without it the first fit one is found.
set -eu

stamp=.venv/stamp
describe='import sys; print(sys.version)'

fail() {
    printf 'photoz_assets: %s\n' "$*" >&2
    exit 1
}

# Runs it: some version managers leave commands on the PATH that only print an error.
is_fit() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

can_build() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_fit "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer: name another one, or unset PYTHON"
        can_build "$PYTHON" || fail "$PYTHON cannot build environments: install its venv module (Debian: apt-get install python3-venv)"
        printf '%s\n' "$PYTHON"
        return
    fi
    bare=
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if is_fit "$candidate"; then
            if can_build "$candidate"; then
                printf '%s\n' "$candidate"
                return
            fi
            bare=$candidate
        fi
    done
    [ -z "$bare" ] || fail "$bare cannot build environments: install its venv module (Debian: apt-get install python3-venv) and run make again"
    fail "no Python 3.11 or newer was found: install one, or name it, as in 'make demo PYTHON=/opt/python/bin/python3.12'"
}

# What an environment is built from. The folder is part of it: an environment that was moved points to where it was.
inputs() {
    cksum pyproject.toml constraints.txt
    pwd -P
    "$1" -c "$describe"
}

is_current() {
    [ -f "$stamp" ] && [ "$(inputs .venv/bin/python 2>/dev/null)" = "$(cat "$stamp")" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -c "$describe")" = "$(.venv/bin/python -c "$describe")" ]
}

# Turns pip's output into a line now and then, and its failure into one line that says what to do.
report() {
    awk -v total="$(grep -c == constraints.txt)" '
        /^Collecting / && ++found % 25 == 0 { printf "  %d of about %d packages found\n", found, total; fflush() }
        /^Installing collected packages/ { print "  installing them"; fflush() }
        /No space left on device/ { full = 1 }
        /NewConnectionError|Temporary failure in name resolution|Could not fetch URL|ReadTimeout/ { offline = 1 }
        /^ERROR/ { errors = errors $0 "\n" }
        /^pip ended badly$/ { failed = 1 }
        END {
            if (!failed) exit 0
            printf "%s", errors > "/dev/stderr"
            if (full) why = "the disk is full: free about 2 GB"
            else if (offline) why = "the package index cannot be reached: look at the network, or at what pip is configured to use"
            else why = "pip failed as above: mend that"
            print "photoz_assets: .venv is not ready: " why " and run make again" > "/dev/stderr"
            exit 1
        }'
}

# uv takes a quarter of pip's time. It asks the index that pip is configured to use; where it fails, pip has the word.
install_by_uv() {
    index=$(.venv/bin/python -m pip config list 2>/dev/null | sed -n "s/^[a-z:]*\.index-url='\(.*\)'\$/\1/p" | tail -n 1)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet uv==0.13.9 >/dev/null 2>&1 &&
        .venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode -c constraints.txt -e '.[dev]' \
            >/dev/null 2>&1
}

install() {
    echo "  installing some $(grep -c == constraints.txt) packages"
    install_by_uv || install_by_pip
}

install_by_pip() {
    {
        PYTHONUNBUFFERED=1 .venv/bin/python -m pip install --disable-pip-version-check --no-input \
            --progress-bar off -c constraints.txt -e '.[dev]' 2>&1 || echo 'pip ended badly'
    } | report
}

build() {
    python=$(find_python)
    # A complete environment of the same interpreter is brought up to date; anything else is made anew.
    if [ -f "$stamp" ] && [ "$(tail -n 2 "$stamp")" = "$(pwd -P; "$python" -c "$describe")" ]; then
        rm -f "$stamp"
        echo 'Bringing .venv up to date ...'
    else
        rm -f "$stamp"
        echo "Building .venv with $("$python" --version); this takes a few minutes ..."
        "$python" -m venv --clear .venv || fail ".venv could not be made: see above"
    fi
    install
    inputs .venv/bin/python >"$stamp.new"
    mv "$stamp.new" "$stamp"
    echo 'Ready.'
}

is_current && exit 0
# Two makes at once build one after the other, and the second finds nothing to do.
if command -v flock >/dev/null 2>&1; then
    exec 9>.venv.lock
    flock -n 9 || {
        echo 'Another make is building .venv; waiting for it ...'
        flock 9
    }
    is_current && exit 0
fi
build
