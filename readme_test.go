package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadmeRuns does what both READMEs tell a newcomer to do, word for word: every line of every sh block, in order, in
// a copy of this tree, and every yaml block is a configuration that config check finds good. A line it does not know
// fails. These things are otherwise than there, and nothing else:
//
//   - git clone is a copy of the tree as it is here, with what make build has built here: the binary under test, the
//     console, and the console's packages, so that make finds nothing to do but what it would at a second build;
//   - make demo has DEMO_ARGS with free ports, skein sim a free --listen, and skein.yaml free ports, after it was copied,
//     so that all runs beside other tests; its segments are of 4 s instead of 30, so that there is footage soon;
//   - what serves until Ctrl-C gets SIGINT once somebody has logged in and seen cameras live: make demo at once, the
//     others when the next line needs the terminal;
//   - the password that skein user add asks for comes from standard input;
//   - verify proves today instead of the day that stands there.
func TestReadmeRuns(t *testing.T) {
	beside(t, 4, 60*time.Second)
	for _, name := range []string{"make", "git", "go", "node", "npm"} {
		tool(t, name)
	}
	for _, built := range []string{"gateway/web/dist/index.html", "gateway/web/node_modules/.package-lock.json"} {
		if _, err := os.Stat(built); err != nil {
			tool(t, built) // make test has built it
		}
	}
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		t.Run(file, func(t *testing.T) {
			n := &newcomer{t: t, dir: t.TempDir()}
			blocks := fenced(t, file)
			if len(blocks) < 4 {
				t.Fatalf("%d blocks", len(blocks))
			}
			for _, b := range blocks {
				if b.language == "yaml" {
					n.checks(b)
					continue
				}
				for i, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
					n.at = fmt.Sprintf("%s:%d: %s", file, b.line+1+i, line)
					n.does(line)
				}
			}
			n.done()
		})
	}
}

// block is a fenced block of a Markdown file.
type block struct {
	language, text string
	line           int // of the fence
}

// fenced returns the blocks of a file. All must say what language they are.
func fenced(t *testing.T, file string) []block {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var open *block
	for i, line := range strings.Split(string(data), "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{language: strings.TrimPrefix(strings.TrimSpace(line), "```"), line: i + 1}
			if open.language != "sh" && open.language != "yaml" {
				t.Errorf("%s:%d: a block of %q: this test runs sh and checks yaml", file, i+1, open.language)
			}
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block has no end", file, open.line)
	}
	return out
}

// newcomer follows a README.
type newcomer struct {
	t    *testing.T
	dir  string // where the shell is
	at   string // the line that is followed, for messages
	sims string // address of the simulated cameras
	http string
	day  string    // of the footage
	runs []*served // what runs until Ctrl-C
}

// instruction is a line that a README may hold, without its comment, and what is done about it.
type instruction struct {
	line *regexp.Regexp
	do   func(n *newcomer, line string)
}

// instructions are all that READMEs hold.
func instructions() []instruction {
	is := func(line string) *regexp.Regexp { return regexp.MustCompile("^" + regexp.QuoteMeta(line) + "$") }
	return []instruction{
		{regexp.MustCompile(`^git clone <[^>]+> skein && cd skein$`), (*newcomer).clones},
		{is("make demo"), (*newcomer).watchesTheDemo},
		{is("make build"), (*newcomer).runsIt},
		{is("cp config/example.yaml skein.yaml"), (*newcomer).copiesTheExample},
		{is("bin/skein config check --config skein.yaml"), (*newcomer).runsIt},
		{is("bin/skein sim --cameras 2 &"), (*newcomer).simulates},
		{is("bin/skein all --config skein.yaml"), (*newcomer).watchesAll},
		{regexp.MustCompile(`^bin/skein user add \S+ .*$`), (*newcomer).typesAPassword},
		{regexp.MustCompile(`^bin/skein user (list|reset \S+|disable \S+) --config skein.yaml$`), (*newcomer).runsIt},
		{regexp.MustCompile(`^bin/skein check --config skein.yaml( --rebuild)?$`), (*newcomer).runsItAfterCtrlC},
		{regexp.MustCompile(`^bin/skein verify --config skein.yaml --camera cam0 --day [0-9-]{10}$`), (*newcomer).verifiesToday},
	}
}

func (n *newcomer) does(line string) {
	n.t.Helper()
	bare := strings.TrimSpace(regexp.MustCompile(`\s+#.*$`).ReplaceAllString(line, ""))
	for _, i := range instructions() {
		if i.line.MatchString(bare) {
			i.do(n, bare)
			return
		}
	}
	n.t.Fatalf("%s\nthis test does not know the line: say there how it is run", n.at)
}

// shell prepares a line; it runs in a process group of its own, as in a terminal, with nothing of make's own.
func (n *newcomer) shell(line string, env ...string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = n.dir
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); name != "MAKEFLAGS" && name != "MFLAGS" && name != "MAKELEVEL" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (n *newcomer) runsIt(line string) { n.runsWith(line, "") }

func (n *newcomer) runsWith(line, stdin string) {
	n.t.Helper()
	cmd := n.shell(line)
	cmd.Stdin = strings.NewReader(stdin)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%s\n%v\n%s", n.at, err, out)
	}
	n.t.Logf("%s: %v", n.at, time.Since(began).Round(time.Millisecond))
}

func (n *newcomer) typesAPassword(line string) { n.runsWith(line, "four words in a row\n") }

func (n *newcomer) runsItAfterCtrlC(line string) {
	n.done()
	n.runsIt(line)
}

func (n *newcomer) verifiesToday(line string) {
	n.done()
	n.runsIt(line[:len(line)-len("2006-01-02")] + n.day)
}

// clones copies the tree. All of it is old, so that make finds nothing older than what it was made of.
func (n *newcomer) clones(string) {
	n.t.Helper()
	n.dir = filepath.Join(n.dir, "skein")
	list, err := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard").Output()
	if err != nil {
		n.t.Skipf("this is no checkout: %v", err)
	}
	old := time.Now().Add(-24 * time.Hour)
	for _, file := range strings.Split(strings.TrimRight(string(list), "\x00"), "\x00") {
		n.copies(file, file, old)
	}
	err = filepath.WalkDir("gateway/web/dist", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n.copies(file, file, time.Now())
		}
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	modules, err := filepath.Abs("gateway/web/node_modules")
	if err == nil {
		err = os.Symlink(modules, filepath.Join(n.dir, "gateway/web/node_modules"))
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.copies(skeinBinary(n.t), "bin/skein", time.Now().Add(time.Second))
}

func (n *newcomer) copies(from, to string, modified time.Time) {
	n.t.Helper()
	to = filepath.Join(n.dir, to)
	st, err := os.Stat(from)
	if os.IsNotExist(err) {
		return // deleted here, and not yet committed
	}
	data, rerr := os.ReadFile(from)
	if err != nil || rerr != nil {
		n.t.Fatal(err, rerr)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(to, data, st.Mode()); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Chtimes(to, modified, modified); err != nil {
		n.t.Fatal(err)
	}
}

// copiesTheExample also gives the copy free ports.
func (n *newcomer) copiesTheExample(line string) {
	n.t.Helper()
	n.runsIt(line)
	n.http, n.sims = freePort(n.t), freePort(n.t)
	file := filepath.Join(n.dir, "skein.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		n.t.Fatal(err)
	}
	text := string(data)
	for from, to := range map[string]string{
		"127.0.0.1:8080": n.http, "127.0.0.1:8189": freePort(n.t), "127.0.0.1:8554": freePort(n.t), "127.0.0.1:9554": n.sims,
		"segment: 30s": "segment: 4s",
	} {
		if !strings.Contains(text, from) {
			n.t.Fatalf("config/example.yaml has no %s", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// checks finds out whether a yaml block is a configuration.
func (n *newcomer) checks(b block) {
	n.t.Helper()
	file := filepath.Join(n.t.TempDir(), "block.yaml")
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if out, errs, err := command(n.t, skeinBinary(n.t), "config", "check", "--config", file); err != nil || strings.Contains(out, "warning") {
		n.t.Errorf("the yaml block of line %d: %v\n%s%s", b.line, err, out, errs)
	}
}

// served is a program that runs until Ctrl-C.
type served struct {
	*proc
	line string
}

// serves starts a line that does not end by itself.
func (n *newcomer) serves(line string, env ...string) *served {
	n.t.Helper()
	p := &proc{t: n.t, name: line, cmd: n.shell("exec "+line, env...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		n.t.Fatalf("%s: %v", n.at, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	n.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what is still there
		<-p.done
		if n.t.Failed() {
			n.t.Logf("---- %s said:\n%s", line, p.out.tail())
		}
	})
	return &served{p, line}
}

// ctrlC ends it as the terminal does: the whole group is interrupted.
func (n *newcomer) ctrlC(s *served) {
	n.t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		n.t.Errorf("%s: %v", s.line, err)
	}
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		n.t.Errorf("%s does not end within 30 s of Ctrl-C", s.line)
		return
	}
	if strings.HasPrefix(s.line, "bin/") && s.err != nil { // make says that it was interrupted
		n.t.Errorf("%s: %v after Ctrl-C", s.line, s.err)
	}
	if strings.Contains(s.out.String(), "level=ERROR") {
		n.t.Errorf("%s complains", s.line)
	}
}

// done interrupts what runs, the last first.
func (n *newcomer) done() {
	n.t.Helper()
	for i := len(n.runs) - 1; i >= 0; i-- {
		n.ctrlC(n.runs[i])
	}
	n.runs = nil
}

// watchesTheDemo looks at the demonstration and ends it.
func (n *newcomer) watchesTheDemo(line string) {
	n.t.Helper()
	http, data := freePort(n.t), filepath.Join(n.dir, "data/demo")
	p := n.serves(line, fmt.Sprintf("DEMO_ARGS=--listen %s --webrtc %s --rtsp %s --sim %s", http, freePort(n.t),
		freePort(n.t), freePort(n.t)))
	n.logsIn(p, http, `password +(\S+)\n`, 50)
	n.ctrlC(p)
	lock, err := claimData(data, true)
	if err != nil {
		n.t.Fatalf("%s: after Ctrl-C: %v", n.at, err)
	}
	_ = lock.Close()
}

func (n *newcomer) simulates(line string) {
	n.t.Helper()
	p := n.serves(strings.TrimSuffix(line, " &") + " --listen " + n.sims)
	poll(n.t, line, 20*time.Second, func() error {
		if !strings.Contains(p.out.String(), "2 simulated cameras") {
			return fmt.Errorf("it said %q", p.out.String())
		}
		return nil
	})
	n.runs = append(n.runs, p)
}

// watchesAll logs in with the password that is printed, and waits until all of the example is live and recorded.
func (n *newcomer) watchesAll(line string) {
	n.t.Helper()
	p := n.serves(line)
	n.logsIn(p, n.http, `with the password\n\n +(\S+)\n`, 2)
	n.runs = append(n.runs, p)
	poll(n.t, "footage of both", 40*time.Second, func() error {
		for _, id := range []string{"cam0", "term-01"} {
			if found, err := filepath.Glob(filepath.Join(n.dir, "data/store/v1", id, "*/*/*/*/*.mp4")); err != nil || len(found) < 2 {
				return fmt.Errorf("%s has %d segments, %w", id, len(found), err)
			}
		}
		return nil
	})
	n.day = time.Now().In(time.FixedZone("district", 8*3600)).Format(time.DateOnly)
}

// logsIn waits for the password that is printed, logs in with it, and sees cameras live.
func (n *newcomer) logsIn(p *served, http, pattern string, cameras int) {
	n.t.Helper()
	began := time.Now()
	token := awaitLogin(n.t, http, "admin", printedPassword(n.t, p.proc, pattern))
	poll(n.t, fmt.Sprintf("%s: %d cameras live", n.at, cameras), 60*time.Second, func() error {
		if live, err := camerasLive(http, token); err != nil || live < cameras {
			return fmt.Errorf("%d are, %w", live, err)
		}
		return nil
	})
	n.t.Logf("%s: cameras live %v after the start", n.at, time.Since(began).Round(time.Millisecond))
}
