// The text of builder.go, the program that the rules for Go run: compiling and linking. It knows
// what of a package's sources is for this system, and what they import and embed; BUILD files need
// not.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kText = R"go(//line /lre/builder.go:3

// Compiles, links and makes test programs: what the rules of rules.bzl run. Not the go command, so
// that a build has one action a package and no cache of its own, and no output says where it was made.
// (The line above keeps that out of this program too, which nothing but the compiler makes.)
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/build"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// What came as NAME=VALUE, any number of times.
type pairs map[string]string

func (p pairs) String() string { return "" }
func (p pairs) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not NAME=VALUE", text)
	}
	p[name] = value
	return nil
}

func (p pairs) names() []string {
	var all []string
	for name := range p {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}

var (
	root    = os.Getenv("GOROOT")
	system  = os.Getenv("GOOS") + "_" + os.Getenv("GOARCH")
	library = filepath.Join(root, "pkg", system) // the compiled standard library
	scratch string                               // a folder of this run's own
	written int                                  // files in it

	importPath           string
	deps, embeds, values = pairs{}, pairs{}, pairs{}
)

func tool(name string, arguments ...string) error {
	command := exec.Command(filepath.Join(root, "pkg", "tool", system, name), arguments...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.Env = append(os.Environ(), "GOROOT_FINAL=go")
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s of %s: %v", name, importPath, err)
	}
	return nil
}

func write(name string, content []byte) (string, error) {
	written++
	file := filepath.Join(scratch, fmt.Sprint(written)+"."+name)
	return file, os.WriteFile(file, content, 0666)
}

// ---- what there is to compile ----

// One file of a package, under the name by which it was given: in a sandbox it may be a link.
type source struct {
	fs.FileInfo
	name, place string
}

func (s source) Name() string      { return s.name }
func (s source) Mode() fs.FileMode { return 0444 }
func (s source) IsDir() bool       { return false }

type pkg struct {
	*build.Package
	places map[string]string
}

func (p pkg) at(lists ...[]string) []string {
	var files []string
	for _, list := range lists {
		for _, name := range list {
			files = append(files, p.places[name])
		}
	}
	return files
}

// The sources as one package, wherever each of them lies: which are for this system, what they import.
func read(files []string) (pkg, error) {
	p := pkg{places: map[string]string{}}
	var infos []fs.FileInfo
	for _, place := range files {
		name := filepath.Base(place)
		if other, found := p.places[name]; found {
			return p, fmt.Errorf("%s and %s have one name", other, place)
		}
		info, err := os.Stat(place)
		if err != nil {
			return p, err
		}
		p.places[name] = place
		infos = append(infos, source{info, name, place})
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	context := build.Default
	context.CgoEnabled = false
	context.IsDir = func(string) bool { return true }
	context.ReadDir = func(string) ([]fs.FileInfo, error) { return infos, nil }
	context.OpenFile = func(name string) (io.ReadCloser, error) {
		return os.Open(p.places[filepath.Base(name)])
	}
	var err error
	p.Package, err = context.ImportDir("/"+importPath, 0)
	if _, none := err.(*build.NoGoError); none && len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
		err = nil
	}
	return p, err
}

// ---- compiling ----

func importConfig(imports []string, more pairs) (string, error) {
	var text bytes.Buffer
	for _, name := range imports {
		file := more[name]
		if file == "" {
			file = deps[name]
		}
		if file == "" && name != "unsafe" {
			file = filepath.Join(library, filepath.FromSlash(name)+".a")
			if _, err := os.Stat(file); err != nil {
				return "", fmt.Errorf("%s imports %q, which is neither in its deps nor in the standard library",
					importPath, name)
			}
		}
		if file != "" {
			fmt.Fprintf(&text, "packagefile %s=%s\n", name, file)
		}
	}
	return write("importcfg", text.Bytes())
}

// Whether a pattern of //go:embed means the file: itself, or a folder that it is in.
func embedded(pattern, file string) bool {
	all := strings.HasPrefix(pattern, "all:")
	pattern = strings.TrimPrefix(pattern, "all:")
	parts := strings.Split(file, "/")
	for i := range parts {
		if fits, _ := path.Match(pattern, strings.Join(parts[:i+1], "/")); !fits {
			continue
		}
		hidden := false
		for _, part := range parts[i+1:] {
			hidden = hidden || part[0] == '.' || part[0] == '_'
		}
		return all || !hidden
	}
	return false
}

func embedConfig(patterns []string) (string, error) {
	config := struct {
		Patterns map[string][]string
		Files    pairs
	}{map[string][]string{}, pairs{}}
	for _, pattern := range patterns {
		for _, file := range embeds.names() {
			if embedded(pattern, file) {
				config.Patterns[pattern] = append(config.Patterns[pattern], file)
				config.Files[file] = embeds[file]
			}
		}
		if len(config.Patterns[pattern]) == 0 {
			return "", fmt.Errorf("%s embeds %q, which fits none of its embedsrcs", importPath, pattern)
		}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	return write("embedcfg", text)
}

type unit struct {
	out, name       string // the archive, and the name that others import it by
	files, assembly []string
	headers         []string
	imports, embeds []string
	more            pairs // archives by import path, before deps
}

func compile(u unit) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	config, err := importConfig(u.imports, u.more)
	if err != nil {
		return err
	}
	trim := here + ";" + scratch
	arguments := []string{"-o", u.out, "-p", u.name, "-trimpath", trim, "-importcfg", config, "-pack"}
	if len(u.embeds) > 0 {
		config, err := embedConfig(u.embeds)
		if err != nil {
			return err
		}
		arguments = append(arguments, "-embedcfg", config)
	}
	if len(u.assembly) == 0 {
		return tool("compile", append(append(arguments, "-complete"), u.files...)...)
	}
	assemble := []string{"-p", u.name, "-trimpath", trim, "-I", scratch, "-I", filepath.Join(root, "pkg", "include"),
		"-D", "GOOS_" + os.Getenv("GOOS"), "-D", "GOARCH_" + os.Getenv("GOARCH")}
	for _, header := range u.headers {
		assemble = append(assemble, "-I", filepath.Dir(header))
	}
	// The assembler includes it before the compiler has made it.
	header, symbols := filepath.Join(scratch, "go_asm.h"), filepath.Join(scratch, "symabis")
	if err := os.WriteFile(header, nil, 0666); err != nil {
		return err
	}
	if err := tool("asm", append(append(assemble, "-gensymabis", "-o", symbols), u.assembly...)...); err != nil {
		return err
	}
	arguments = append(arguments, "-symabis", symbols, "-asmhdr", header)
	if err := tool("compile", append(arguments, u.files...)...); err != nil {
		return err
	}
	objects := []string{"r", u.out}
	for i, file := range u.assembly {
		object := filepath.Join(scratch, fmt.Sprintf("%d.o", i))
		if err := tool("asm", append(assemble, "-o", object, file)...); err != nil {
			return err
		}
		objects = append(objects, object)
	}
	return tool("pack", objects...)
}

func compilePackage(out, name string, sources []string) error {
	p, err := read(sources)
	if err != nil {
		return err
	}
	if name == "" {
		name = importPath
	}
	return compile(unit{out: out, name: name, files: p.at(p.GoFiles), assembly: p.at(p.SFiles),
		headers: p.at(p.HFiles), imports: p.Imports, embeds: p.EmbedPatterns})
}

// ---- linking ----

func link(out, main string, arguments []string) error {
	var text bytes.Buffer
	err := filepath.WalkDir(library, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".a") {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(file, library+"/"), ".a")
		fmt.Fprintf(&text, "packagefile %s=%s\n", name, file)
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range deps.names() {
		fmt.Fprintf(&text, "packagefile %s=%s\n", name, deps[name])
	}
	config, err := write("importcfg", text.Bytes())
	if err != nil {
		return err
	}
	for _, name := range values.names() {
		arguments = append(arguments, "-X", name+"="+values[name])
	}
	arguments = append(arguments, "-o", out, "-importcfg", config, "-buildmode=exe", "-linkmode=internal",
		"-libgcc=none", "-buildid=", main)
	return tool("link", arguments...)
}

// ---- the command line ----

// Long command lines come in files, one argument a line.
func expanded(arguments []string) ([]string, error) {
	var all []string
	for _, argument := range arguments {
		file := strings.TrimPrefix(argument, "--arguments=")
		if file == argument {
			all = append(all, argument)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return all, nil
}

func run() error {
	arguments, err := expanded(os.Args[1:])
	if err != nil {
		return err
	}
	var out, name, main, loader, libraries string
	var strip bool
	var test testProgram
	flags := flag.NewFlagSet("builder", flag.ContinueOnError)
	flags.StringVar(&out, "out", "", "what is made")
	flags.StringVar(&importPath, "importpath", "", "of the package")
	flags.StringVar(&name, "package", "", "what the compiler calls it; the import path when not given")
	flags.StringVar(&main, "main", "", "archive of the package with main")
	flags.StringVar(&loader, "loader", "", "dynamic loader of programs that need one")
	flags.StringVar(&libraries, "libraries", "", "folder of the C library for that")
	flags.StringVar(&test.external, "external", "", "archive of the tests in a package of their own")
	flags.StringVar(&test.main, "testmain", "", "archive of the program that runs the tests")
	flags.StringVar(&test.library, "library", "", "archive of the tested package, when it has no tests inside")
	flags.StringVar(&test.folder, "folder", "", "where tests run, seen from where they are started")
	flags.BoolVar(&strip, "strip", false, "leave out what only debuggers read")
	flags.Var(deps, "dep", "IMPORT_PATH=ARCHIVE")
	flags.Var(embeds, "embed", "NAME=FILE for //go:embed")
	flags.Var(values, "value", "NAME=VALUE of a variable")
	if len(arguments) == 0 {
		return fmt.Errorf("compile, link or test?")
	}
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	if scratch, err = os.MkdirTemp("", "lre-go-"); err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	switch arguments[0] {
	case "compile":
		return compilePackage(out, name, flags.Args())
	case "test":
		return test.compile(out, flags.Args())
	case "link":
		var options []string
		if strip {
			options = append(options, "-s", "-w")
		}
		if loader != "" {
			options = append(options, "-I", loader, "-r", libraries)
		}
		return link(out, main, options)
	}
	return fmt.Errorf("%q is neither compile, link nor test", arguments[0])
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
)go";

}  // namespace

std::string_view GoBuilderText() { return kText; }

}  // namespace lre::toolchain
