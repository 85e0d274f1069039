# Rules for Rust.
# Written by `lre generate` from manifest sha256:892be4b6f1d75a77b2dc5c33bc6162e207eed579a6528feb6307b9c05ebe5729
# of lre-rust: edits are lost.

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

LreRustInfo = provider(
    doc = "A Rust crate.",
    fields = {
        "crate": "struct of what it is compiled from, for a test of it",
        "file": "the compiled crate",
        "files": "depset of the files of it and of what it depends on",
        "linking": "CcInfo of the C and C++ libraries among these",
        "name": "of the crate",
    },
)

_TYPE = "//generated-rust/rust:toolchain_type"
_CC_TYPE = "@bazel_tools//tools/cpp:toolchain_type"

def _toolchain_impl(ctx):
    return [platform_common.ToolchainInfo(
        rustc = ctx.attr.rustc,
        shell = ctx.attr.shell,
        target = ctx.attr.target,
        version = ctx.attr.version,
    )]

lre_rust_toolchain = rule(
    implementation = _toolchain_impl,
    attrs = {
        "rustc": attr.string(mandatory = True),
        "shell": attr.string(mandatory = True),
        "target": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
    },
    doc = "Rust is no input: its path in the command of an action says which it is.",
)

# The place of an action must not enter what it makes. Only a shell knows it before rustc starts.
_START = "exec \"$@\" --remap-path-prefix=\"$PWD=.\""

def _gather(ctx):
    """What a crate is compiled from: of its own, or of the crate that a test names."""
    tested = getattr(ctx.attr, "crate", None)
    if tested:
        crate = tested[LreRustInfo].crate
        return struct(
            data = depset(ctx.files.compile_data, transitive = [crate.data]),
            deps = crate.deps + ctx.attr.deps,
            edition = crate.edition,
            env = dict(crate.env, **ctx.attr.rustc_env),
            features = crate.features + ctx.attr.crate_features,
            macros = crate.macros + ctx.attr.proc_macro_deps,
            name = crate.name,
            root = crate.root,
            srcs = crate.srcs + ctx.files.srcs,
        )
    return struct(
        data = depset(ctx.files.compile_data),
        deps = ctx.attr.deps,
        edition = ctx.attr.edition,
        env = ctx.attr.rustc_env,
        features = ctx.attr.crate_features,
        macros = ctx.attr.proc_macro_deps,
        name = (ctx.attr.crate_name or ctx.label.name).replace("-", "_"),
        root = _root(ctx),
        srcs = ctx.files.srcs,
    )

def _root(ctx):
    if ctx.file.crate_root:
        return ctx.file.crate_root
    for file in ctx.files.srcs:
        if len(ctx.files.srcs) == 1 or file.basename in [ctx.attr._root, ctx.label.name + ".rs"]:
            return file
    fail("{}: none of srcs is {}; say crate_root".format(ctx.label, ctx.attr._root))

def _linking(crate):
    infos = [dep[CcInfo] for dep in crate.deps if CcInfo in dep]
    infos += [dep[LreRustInfo].linking for dep in crate.deps if LreRustInfo in dep]
    return cc_common.merge_cc_infos(cc_infos = infos)

def _link_arguments(ctx, kind, test):
    """The linker and its options, as the C++ toolchain in use has them for a program of its own."""
    toolchain = ctx.toolchains[_CC_TYPE]
    cc = getattr(toolchain, "cc", toolchain)
    features = cc_common.configure_features(
        cc_toolchain = cc,
        ctx = ctx,
        requested_features = ctx.features + (["lre_store_loader"] if test else []),
        unsupported_features = ctx.disabled_features,
    )
    shared = kind == "proc-macro"
    action = ACTION_NAMES.cpp_link_dynamic_library if shared else ACTION_NAMES.cpp_link_executable
    variables = cc_common.create_link_variables(
        cc_toolchain = cc,
        feature_configuration = features,
        is_linking_dynamic_library = shared,
    )
    flags = cc_common.get_memory_inefficient_command_line(
        action_name = action,
        feature_configuration = features,
        variables = variables,
    )
    linker = cc_common.get_tool_for_action(action_name = action, feature_configuration = features)
    arguments = ["-Clinker=" + linker, "-Clink-arg=-Wl,--as-needed"]
    if "fully_static_link" in ctx.features and not shared:
        arguments += ["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Clink-arg=-Wl,-Bstatic"]

    # rustc says itself whether its output is shared.
    arguments += ["-Clink-arg=" + flag for flag in flags if flag not in ["-shared", "-pie"]]
    return struct(arguments = arguments, files = cc.all_files)

def _native(linking):
    """The C and C++ libraries as options, and the files that these name."""
    flags, files = [], []
    for given in linking.linking_context.linker_inputs.to_list():
        for library in given.libraries:
            file = library.pic_static_library or library.static_library
            if not file:
                fail("{}: {} has no static library".format(given.owner, library))
            flags.append(("-Wl,--whole-archive," + file.path + ",--no-whole-archive") if library.alwayslink else file.path)
            files.append(file)
        flags += given.user_link_flags
        files += given.additional_inputs
    return ["-Clink-arg=" + flag for flag in flags], files

_MODES = {
    "dbg": ["-Copt-level=0", "-Cdebuginfo=2"],
    "fastbuild": ["-Copt-level=0", "-Cdebuginfo=0", "-Cstrip=debuginfo"],
    "opt": ["-Copt-level=3", "-Cdebuginfo=0", "-Cstrip=debuginfo"],
}

def _dirname(file):
    return file.dirname

def _compile(ctx, crate, kind, out, test = False):
    """Compiles a crate of a kind that rustc knows, and links it unless it is a library."""
    rust = ctx.toolchains[_TYPE]
    linking = _linking(crate)
    deps = [dep[LreRustInfo] for dep in crate.deps + crate.macros if LreRustInfo in dep]
    files = depset(transitive = [dep.files for dep in deps])
    inputs = [depset(crate.srcs + [crate.root]), crate.data, files]
    arguments = ctx.actions.args()
    arguments.add_all([crate.root, "--crate-name=" + crate.name, "--crate-type=" + kind])
    arguments.add(out, format = "--emit=link=%s")
    arguments.add_all(["--edition=" + crate.edition, "--target=" + rust.target])

    # Two crates of one name may be parts of one program.
    arguments.add_all(["-Cmetadata={}".format(hash(str(ctx.label)))])
    arguments.add_all(_MODES[ctx.var["COMPILATION_MODE"]])
    arguments.add_all(["feature=\"{}\"".format(name) for name in crate.features], before_each = "--cfg")
    for dep in deps:
        arguments.add(dep.file, format = "--extern=" + dep.name + "=%s")
    arguments.add_all(files, format_each = "-Ldependency=%s", map_each = _dirname, uniquify = True)
    if test:
        arguments.add("--test")
    if kind == "proc-macro":
        arguments.add("--extern=proc_macro")
    if kind != "rlib":
        link = _link_arguments(ctx, kind, test)
        native, libraries = _native(linking)
        arguments.add_all(native + link.arguments)
        inputs += [depset(libraries), link.files]
    arguments.add_all(ctx.attr.rustc_flags)
    ctx.actions.run(
        arguments = ["-c", _START, "sh", rust.rustc, arguments],
        env = crate.env,
        executable = rust.shell,
        inputs = depset(transitive = inputs),
        mnemonic = "LreRustc",
        outputs = [out],
    )
    return struct(deps = files, linking = linking)

def _runfiles(ctx):
    runfiles = ctx.runfiles(files = ctx.files.data)
    return runfiles.merge_all([
        target[DefaultInfo].default_runfiles
        for target in ctx.attr.data + ctx.attr.deps
    ])

def _crate_impl(ctx, kind, name):
    crate = _gather(ctx)
    # Beside others of its name: dependents look for it by that and by what is in it.
    out = ctx.actions.declare_file(name.format(crate.name, hash(str(ctx.label)) % 0x10000000))
    compiled = _compile(ctx, crate, kind, out)
    return [
        DefaultInfo(files = depset([out]), runfiles = _runfiles(ctx)),
        LreRustInfo(
            crate = crate,
            file = out,
            files = depset([out], transitive = [compiled.deps]),
            linking = compiled.linking if kind == "rlib" else CcInfo(),
            name = crate.name,
        ),
    ]

def _library_impl(ctx):
    return _crate_impl(ctx, "rlib", "lib{}-{}.rlib")

def _proc_macro_impl(ctx):
    return _crate_impl(ctx, "proc-macro", "lib{}-{}.so")

def _binary_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    _compile(ctx, _gather(ctx), "bin", program)
    return [DefaultInfo(executable = program, runfiles = _runfiles(ctx))]

def _test_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    _compile(ctx, _gather(ctx), "bin", program, test = True)
    return [
        DefaultInfo(executable = program, runfiles = _runfiles(ctx)),
        RunEnvironmentInfo(environment = ctx.attr.env),
    ]

def _attrs(root, **more):
    return dict(
        more,
        compile_data = attr.label_list(allow_files = True, doc = "Files for include_str! and its like."),
        crate_features = attr.string_list(doc = "What #[cfg(feature = ...)] asks for."),
        crate_name = attr.string(doc = "The target's name when not given."),
        crate_root = attr.label(
            allow_single_file = [".rs"],
            doc = "The source that names the others: " + root + ", TARGET.rs or the only one when not given.",
        ),
        data = attr.label_list(allow_files = True, doc = "What it reads when it runs."),
        deps = attr.label_list(
            doc = "Crates, and libraries of C and C++.",
            providers = [[LreRustInfo], [CcInfo]],
        ),
        edition = attr.string(default = "2021"),
        proc_macro_deps = attr.label_list(cfg = "exec", providers = [LreRustInfo]),
        rustc_env = attr.string_dict(doc = "What env! asks for."),
        rustc_flags = attr.string_list(),
        srcs = attr.label_list(allow_files = [".rs"]),
        _root = attr.string(default = root),
    )

_TOOLCHAINS = [_TYPE, _CC_TYPE]

lre_rust_library = rule(
    implementation = _library_impl,
    attrs = _attrs("lib.rs"),
    doc = "A crate that others use.",
    fragments = ["cpp"],
    provides = [LreRustInfo],
    toolchains = _TOOLCHAINS,
)

lre_rust_proc_macro = rule(
    implementation = _proc_macro_impl,
    attrs = _attrs("lib.rs"),
    doc = "A crate that runs in the compiler: for proc_macro_deps.",
    fragments = ["cpp"],
    provides = [LreRustInfo],
    toolchains = _TOOLCHAINS,
)

lre_rust_binary = rule(
    implementation = _binary_impl,
    attrs = _attrs("main.rs"),
    doc = "A program.",
    executable = True,
    fragments = ["cpp"],
    toolchains = _TOOLCHAINS,
)

lre_rust_test = rule(
    implementation = _test_impl,
    attrs = _attrs(
        "main.rs",
        crate = attr.label(doc = "The crate whose tests are run.", providers = [LreRustInfo]),
        env = attr.string_dict(doc = "Variables of the test."),
    ),
    doc = "The tests in srcs, or those of a crate.",
    fragments = ["cpp"],
    test = True,
    toolchains = _TOOLCHAINS,
)
