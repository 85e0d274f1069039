// The text of the rules for Go, without its head.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kText = R"bzl(
LreGoInfo = provider(
    doc = "A Go package.",
    fields = {
        "archive": "what is compiled against it",
        "archives": "depset of struct(file, importpath): it and all that it imports, for linking",
        "deps": "list of LreGoInfo that its sources import",
        "embeds": "dict from names in //go:embed to files",
        "files": "depset of the archives alone",
        "importpath": "how others import it",
        "srcs": "list of its sources",
    },
)

_TYPE = "//generated-go/go:toolchain_type"

_MNEMONICS = {
    "compile": "LreGoCompile",
    "link": "LreGoLink",
    "test": "LreGoCompileTest",
}

def _toolchain_impl(ctx):
    return [platform_common.ToolchainInfo(
        environment = {
            "GOARCH": ctx.attr.architecture,
            "GOOS": ctx.attr.os,
            "GOROOT": ctx.attr.root,
        },
        libraries = ctx.attr.libraries,
        loader = ctx.attr.loader,
        tools = "{}/pkg/tool/{}_{}/".format(ctx.attr.root, ctx.attr.os, ctx.attr.architecture),
        version = ctx.attr.version,
    )]

lre_go_toolchain = rule(
    implementation = _toolchain_impl,
    attrs = {
        "architecture": attr.string(mandatory = True),
        "libraries": attr.string(doc = "Folder of the store's C library."),
        "loader": attr.string(doc = "Its dynamic loader."),
        "os": attr.string(mandatory = True),
        "root": attr.string(mandatory = True),
        "version": attr.string(mandatory = True),
    },
    doc = "Go is no input: its path in the environment of an action says which it is.",
)

def _builder_impl(ctx):
    go = ctx.toolchains[_TYPE]
    environment = dict(go.environment, GOROOT_FINAL = "go")
    archive = ctx.actions.declare_file(ctx.label.name + ".a")
    program = ctx.actions.declare_file(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("-o", archive)
    arguments.add_all(["-p", "main", "-pack"])
    arguments.add_all(ctx.files.srcs)
    ctx.actions.run(
        arguments = [arguments],
        env = environment,
        executable = go.tools + "compile",
        inputs = ctx.files.srcs,
        mnemonic = "LreGoCompile",
        outputs = [archive],
    )
    arguments = ctx.actions.args()
    arguments.add("-o", program)
    arguments.add_all(["-s", "-w", "-buildid=", "-libgcc=none"])
    arguments.add(archive)
    ctx.actions.run(
        arguments = [arguments],
        env = environment,
        executable = go.tools + "link",
        inputs = [archive],
        mnemonic = "LreGoLink",
        outputs = [program],
    )
    return [DefaultInfo(executable = program)]

lre_go_builder = rule(
    implementation = _builder_impl,
    attrs = {"srcs": attr.label_list(allow_files = [".go"])},
    doc = "The program that the other rules run, made without it.",
    executable = True,
    toolchains = [_TYPE],
)

def _in_package(file, label):
    path = file.short_path
    if path.startswith("../"):
        path = path.split("/", 2)[2]
    folder = label.package + "/"
    return path[len(folder):] if path.startswith(folder) else path

def _gather(ctx):
    """What a target is compiled from, with what it embeds."""
    srcs = list(ctx.files.srcs)
    deps = [dep[LreGoInfo] for dep in ctx.attr.deps]
    embeds = {_in_package(file, ctx.label): file for file in ctx.files.embedsrcs}
    importpath = ctx.attr.importpath
    for target in ctx.attr.embed:
        library = target[LreGoInfo]
        srcs = library.srcs + srcs
        deps = library.deps + deps
        embeds = dict(library.embeds, **embeds)
        importpath = importpath or library.importpath
    if not importpath:
        importpath = "/".join([part for part in [ctx.label.package, ctx.label.name] if part])
    return struct(deps = deps, embeds = embeds, importpath = importpath, srcs = srcs)

def _dep(archive):
    return "-dep={}={}".format(archive.importpath, archive.file.path)

def _run(ctx, mode, arguments, inputs, outputs):
    arguments.use_param_file("--arguments=%s")
    arguments.set_param_file_format("multiline")
    ctx.actions.run(
        arguments = [mode, arguments],
        env = ctx.toolchains[_TYPE].environment,
        executable = ctx.executable._builder,
        inputs = inputs,
        mnemonic = _MNEMONICS[mode],
        outputs = outputs,
    )

def _compile(ctx, package, mode, more, inputs, outputs):
    """Compiles what _gather found. `more` are arguments that say to where."""
    arguments = ctx.actions.args()
    arguments.add_all(more)
    arguments.add(package.importpath, format = "-importpath=%s")
    direct = [struct(file = dep.archive, importpath = dep.importpath) for dep in package.deps]
    arguments.add_all(direct, map_each = _dep)
    for name, file in package.embeds.items():
        arguments.add(file, format = "-embed=" + name.replace("%", "%%") + "=%s")
    arguments.add_all(package.srcs)
    _run(
        ctx,
        mode,
        arguments,
        inputs + package.srcs + package.embeds.values() + [dep.archive for dep in package.deps],
        outputs,
    )

def _link(ctx, main, package, own = [], test = False):
    go = ctx.toolchains[_TYPE]
    program = ctx.actions.declare_file(ctx.label.name)
    archives = depset(transitive = [dep.archives for dep in package.deps])
    arguments = ctx.actions.args()
    arguments.add(program, format = "-out=%s")
    arguments.add(main, format = "-main=%s")
    arguments.add(package.importpath, format = "-importpath=%s")

    # Go's own programs are static. Those that look up hosts or users need a C library: tests and what
    # the build itself runs that of the store, others that of the machine.
    in_store = test or "lre_store_loader" in ctx.features
    if in_store and go.loader and "lre_host_loader" not in ctx.features:
        arguments.add(go.loader, format = "-loader=%s")
        arguments.add(go.libraries, format = "-libraries=%s")
    if ctx.var["COMPILATION_MODE"] != "dbg":
        arguments.add("-strip")
    arguments.add_all(archives, map_each = _dep)
    arguments.add_all(own, map_each = _dep)
    for name, value in ctx.attr.x_defs.items():
        arguments.add("-value={}={}".format(name, value))
    _run(
        ctx,
        "link",
        arguments,
        depset(
            [main] + [each.file for each in own],
            transitive = [dep.files for dep in package.deps],
        ),
        [program],
    )
    return program

def _runfiles(ctx):
    runfiles = ctx.runfiles(files = ctx.files.data)
    return runfiles.merge_all([
        target[DefaultInfo].default_runfiles
        for target in ctx.attr.data + ctx.attr.deps + ctx.attr.embed
    ])

def _library_impl(ctx):
    package = _gather(ctx)
    archive = ctx.actions.declare_file(ctx.label.name + ".a")
    _compile(ctx, package, "compile", ["-out", archive], [], [archive])
    return [
        DefaultInfo(files = depset([archive]), runfiles = _runfiles(ctx)),
        LreGoInfo(
            archive = archive,
            archives = depset(
                [struct(file = archive, importpath = package.importpath)],
                transitive = [dep.archives for dep in package.deps],
            ),
            deps = package.deps,
            embeds = package.embeds,
            files = depset([archive], transitive = [dep.files for dep in package.deps]),
            importpath = package.importpath,
            srcs = package.srcs,
        ),
    ]

def _binary_impl(ctx):
    package = _gather(ctx)
    archive = ctx.actions.declare_file(ctx.label.name + ".a")
    _compile(ctx, package, "compile", ["-package", "main", "-out", archive], [], [archive])
    program = _link(ctx, archive, package)
    return [DefaultInfo(executable = program, runfiles = _runfiles(ctx))]

def _test_impl(ctx):
    package = _gather(ctx)
    inside, external, main = [
        ctx.actions.declare_file("{}.{}.a".format(ctx.label.name, part))
        for part in ["inside", "external", "main"]
    ]
    repository = "../{}/".format(ctx.label.workspace_name) if ctx.label.workspace_name else ""
    more = ["-out", inside, "-external", external, "-testmain", main]
    more += ["-folder", repository + (ctx.label.package or ".")]
    inputs = []
    if len(ctx.attr.embed) == 1 and not [file for file in ctx.files.srcs if not file.basename.endswith("_test.go")]:
        inputs = [ctx.attr.embed[0][LreGoInfo].archive]
        more += ["-library", inputs[0]]
    _compile(ctx, package, "test", more, inputs, [inside, external, main])
    own = [
        struct(file = inside, importpath = package.importpath),
        struct(file = external, importpath = package.importpath + "_test"),
    ]
    program = _link(ctx, main, package, own, test = True)
    return [
        DefaultInfo(executable = program, runfiles = _runfiles(ctx)),
        RunEnvironmentInfo(environment = ctx.attr.env),
    ]

_ATTRS = {
    "data": attr.label_list(allow_files = True, doc = "What it reads when it runs."),
    "deps": attr.label_list(doc = "Packages that it imports.", providers = [LreGoInfo]),
    "embed": attr.label_list(
        doc = "Libraries whose sources are compiled with these, as one package.",
        providers = [LreGoInfo],
    ),
    "embedsrcs": attr.label_list(allow_files = True, doc = "Files for //go:embed."),
    "importpath": attr.string(doc = "How others import it. Without: package and name of the target."),
    "srcs": attr.label_list(
        allow_files = [".go", ".h", ".s"],
        doc = "Those for other systems are left out, as their names and //go:build lines say.",
    ),
    "_builder": attr.label(
        cfg = "exec",
        default = "//generated-go/go:builder",
        executable = True,
    ),
}

_LINKED = dict(
    _ATTRS,
    x_defs = attr.string_dict(doc = "Values of variables: \"import/path.Name\"."),
)

lre_go_library = rule(
    implementation = _library_impl,
    attrs = _ATTRS,
    doc = "A package.",
    provides = [LreGoInfo],
    toolchains = [_TYPE],
)

lre_go_binary = rule(
    implementation = _binary_impl,
    attrs = _LINKED,
    doc = "A program: package main.",
    executable = True,
    toolchains = [_TYPE],
)

lre_go_test = rule(
    implementation = _test_impl,
    attrs = dict(
        _LINKED,
        env = attr.string_dict(doc = "Variables of the test."),
    ),
    doc = "The tests in srcs, and those of the package in embed; run in the folder of their package.",
    test = True,
    toolchains = [_TYPE],
)
)bzl";

}  // namespace

std::string_view GoRulesText() { return kText; }

}  // namespace lre::toolchain
