// The text of test_program.go, a part of the builder (go_builder.cc): the program that runs the
// tests of a package.
#include "toolchain/generate/parts.h"

namespace lre::toolchain {
namespace {

constexpr std::string_view kText = R"go(//line /lre/test_program.go:3

// The program that runs the tests of a package: what `go test` would write.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

type testProgram struct {
	external, main, library, folder string
	tests, benchmarks, fuzz         []string // "alias.Name"
	examples                        []string // Go text
	entry                           string   // "alias.TestMain"
}

// "TestX" and "Test", not "Testify".
func isTest(name, kind string) bool {
	rest := strings.TrimPrefix(name, kind)
	first, _ := utf8.DecodeRuneInString(rest)
	return strings.HasPrefix(name, kind) && (rest == "" || !unicode.IsLower(first))
}

// Adds what the files have, and says whether there was anything.
func (t *testProgram) find(alias string, files []string) (bool, error) {
	found := false
	var parsed []*ast.File
	for _, file := range files {
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return false, err
		}
		parsed = append(parsed, syntax)
		for _, declaration := range syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Recv != nil {
				continue
			}
			name := function.Name.Name
			switch {
			case name == "TestMain":
				t.entry = alias + "." + name
			case isTest(name, "Test"):
				t.tests = append(t.tests, alias+"."+name)
			case isTest(name, "Benchmark"):
				t.benchmarks = append(t.benchmarks, alias+"."+name)
			case isTest(name, "Fuzz"):
				t.fuzz = append(t.fuzz, alias+"."+name)
			default:
				continue
			}
			found = true
		}
	}
	for _, example := range doc.Examples(parsed...) {
		if example.Output == "" && !example.EmptyOutput {
			continue
		}
		found = true
		t.examples = append(t.examples, fmt.Sprintf("{%q, %s.Example%s, %q, %v}",
			"Example"+example.Name, alias, example.Name, example.Output, example.Unordered))
	}
	return found, nil
}

func (t *testProgram) text(imports string) []byte {
	var out bytes.Buffer
	list := func(name, kind string, functions []string) {
		fmt.Fprintf(&out, "var %s = []testing.%s{\n", name, kind)
		for _, function := range functions {
			fmt.Fprintf(&out, "\t{%q, %s},\n", function[strings.Index(function, ".")+1:], function)
		}
		out.WriteString("}\n")
	}
	fmt.Fprintf(&out, "package main\n\nimport (\n\t\"os\"\n\t\"strconv\"\n\t\"testing\"\n\t\"testing/internal/testdeps\"\n")
	if t.entry != "" {
		out.WriteString("\t\"reflect\"\n")
	}
	fmt.Fprintf(&out, "%s)\n\n", imports)
	list("tests", "InternalTest", t.tests)
	list("benchmarks", "InternalBenchmark", t.benchmarks)
	list("fuzzTargets", "InternalFuzzTarget", t.fuzz)
	fmt.Fprintf(&out, "var examples = []testing.InternalExample{\n")
	for _, example := range t.examples {
		fmt.Fprintf(&out, "\t%s,\n", example)
	}
	fmt.Fprintf(&out, "}\n\nfunc init() { testdeps.ImportPath = %q }\n%s", importPath, mainText)
	run := "\tos.Exit(m.Run())\n}\n"
	if t.entry != "" {
		run = "\t" + t.entry + "(m)\n\tos.Exit(int(reflect.ValueOf(m).Elem().FieldByName(\"exitCode\").Int()))\n}\n"
	}
	return []byte(strings.Replace(out.String(), "FOLDER", fmt.Sprintf("%q", t.folder), 1) + run)
}

// Tests run in the folder of their package, as with `go test`; Bazel says which of them, and which part.
const mainText = `
func main() {
	if shards, _ := strconv.Atoi(os.Getenv("TEST_TOTAL_SHARDS")); shards > 1 {
		index, _ := strconv.Atoi(os.Getenv("TEST_SHARD_INDEX"))
		var part []testing.InternalTest
		for i := index; i < len(tests); i += shards {
			part = append(part, tests[i])
		}
		tests = part
		if file, err := os.Create(os.Getenv("TEST_SHARD_STATUS_FILE")); err == nil {
			file.Close()
		}
	}
	if filter := os.Getenv("TESTBRIDGE_TEST_ONLY"); filter != "" {
		os.Args = append([]string{os.Args[0], "-test.run=" + filter}, os.Args[1:]...)
	}
	_ = os.Chdir(FOLDER)
	m := testing.MainStart(testdeps.TestDeps{}, tests, benchmarks, fuzzTargets, examples)
`

// Makes three archives: `out` is the package with the tests inside it, then the tests in a package of
// their own (an empty one when there are none), then the program.
func (t *testProgram) compile(out string, sources []string) error {
	p, err := read(sources)
	if err != nil {
		return err
	}
	inside, err := t.find("_test", p.at(p.TestGoFiles))
	if err != nil {
		return err
	}
	outside, err := t.find("_external", p.at(p.XTestGoFiles))
	if err != nil {
		return err
	}
	if err := t.compileInside(out, p); err != nil {
		return err
	}
	own := pairs{importPath: out, importPath + "_test": t.external}
	external := unit{out: t.external, name: importPath + "_test", files: p.at(p.XTestGoFiles),
		imports: p.XTestImports, embeds: p.XTestEmbedPatterns, more: own}
	if err := compileOrEmpty(external); err != nil {
		return err
	}
	alias := func(name string, used bool) string {
		if used {
			return name
		}
		return "_"
	}
	imports := fmt.Sprintf("\t%s %q\n\t%s %q\n", alias("_test", inside), importPath,
		alias("_external", outside), importPath+"_test")
	main, err := write("main.go", t.text(imports))
	if err != nil {
		return err
	}
	needed := []string{"os", "reflect", "strconv", "testing", "testing/internal/testdeps"}
	needed = append(needed, importPath, importPath+"_test")
	return compile(unit{out: t.main, name: "main", files: []string{main}, imports: needed, more: own})
}

func (t *testProgram) compileInside(out string, p pkg) error {
	if t.library != "" && len(p.TestGoFiles) == 0 {
		// The same as what others were compiled against.
		archive, err := os.ReadFile(t.library)
		if err != nil {
			return err
		}
		return os.WriteFile(out, archive, 0666)
	}
	return compileOrEmpty(unit{out: out, name: importPath, files: p.at(p.GoFiles, p.TestGoFiles),
		assembly: p.at(p.SFiles), headers: p.at(p.HFiles), imports: union(p.Imports, p.TestImports),
		embeds: union(p.EmbedPatterns, p.TestEmbedPatterns)})
}

func compileOrEmpty(u unit) error {
	if len(u.files) == 0 {
		file, err := write("empty.go", []byte("package empty\n"))
		if err != nil {
			return err
		}
		u.files = []string{file}
	}
	return compile(u)
}

func union(lists ...[]string) []string {
	var all []string
	seen := map[string]bool{}
	for _, list := range lists {
		for _, name := range list {
			if !seen[name] {
				all = append(all, name)
			}
			seen[name] = true
		}
	}
	return all
}
)go";

}  // namespace

std::string_view GoTestProgramText() { return kText; }

}  // namespace lre::toolchain
