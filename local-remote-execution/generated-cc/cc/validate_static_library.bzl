# What cc_static_library checks its archives with.
# Written by `lre generate` from manifest sha256:6aec1a867cd8dbddea9106c9aaccd4a71a5e690e15e00a561a5a714721a7b8f4
# of lre-cc: edits are lost.

def _impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        """#!%s
# ARCHIVE OUTPUT: fails when two objects of the archive define the same symbol.
set -euo pipefail
export LC_ALL=C
twice=$("%s" -A -g -P "$1" | awk '
  $3 ~ /^[A-TX-Z]$/ { count[$2]++; where[$2] = where[$2] " " $1 }
  END { for (symbol in count) if (count[symbol] > 1) print symbol " in" where[symbol] }
' | sort | "%s")
if [ -n "$twice" ]; then
  printf 'symbols that more than one object of %%s defines:\\n%%s\\n' "$1" "$twice" >&2
  exit 1
fi
: >"$2"
""" % (ctx.attr.shell, ctx.attr.nm, ctx.attr.cxxfilt),
        is_executable = True,
    )
    return [DefaultInfo(
        executable = script,
        files = depset([script]),
    )]

lre_validate_static_library = rule(
    implementation = _impl,
    attrs = {
        "cxxfilt": attr.string(mandatory = True),
        "nm": attr.string(mandatory = True),
        "shell": attr.string(mandatory = True),
    },
    executable = True,
)
