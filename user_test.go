package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// typed runs a program with text as its standard input, which is no terminal.
func typed(t *testing.T, text, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text), &o, &e
	cmd.Env = append(os.Environ(), "SUDO_USER=lao-wang")
	err = cmd.Run()
	return o.String(), e.String(), err
}

// status is what the node answers to a login.
func (n *node) loginStatus(name, password string) (int, error) {
	resp, err := http.Post("http://"+n.http+"/v1/login", "application/json",
		strings.NewReader(fmt.Sprintf(`{"user":%q,"password":%q}`, name, password)))
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// auditRows returns actor and detail of the rows about changes of users.
func auditRows(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "audit", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines(string(data)) {
			var row struct {
				Body struct{ Actor, Kind, Action, Detail string }
			}
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			if row.Body.Action == "config" {
				rows = append(rows, row.Body.Kind+" "+row.Body.Actor+": "+row.Body.Detail)
			}
		}
	}
	return rows
}

// TestUsersBesideAGateway adds, changes and locks out people while the gateway runs, from a script: each counts within
// seconds, and is a row of the audit log with the name of who did it.
func TestUsersBesideAGateway(t *testing.T) {
	beside(t, 1, 15*time.Second)
	bin := skeinBinary(t)
	n := newNode(t, "all")
	n.configure(t, oneUnit)
	n.start(t)
	login := func(password string, want int) {
		t.Helper()
		poll(t, fmt.Sprintf("login answers %d", want), 10*time.Second, func() error {
			if got, err := n.loginStatus("li", password); err != nil || got != want {
				return fmt.Errorf("%d, %w", got, err)
			}
			return nil
		})
	}
	run := func(stdin, want string, args ...string) string {
		t.Helper()
		out, errs, err := typed(t, stdin, bin, append(append([]string{"user"}, args...), "--config", n.file)...)
		if err != nil || !strings.Contains(out, want) || errs != "" {
			t.Fatalf("skein user %s: %v, %q, %q; want %q", strings.Join(args, " "), err, out, errs, want)
		}
		return out
	}
	const first, second = "four words in a row", "another four words"
	run(first+"\n", "user li may log in (officer)", "add", "li", "--role", "officer", "--unit", "yf", "--name", "李卫国")
	login(first, http.StatusOK)
	run(second, "user li has a new password", "passwd", "li") // without a line break at the end
	login(first, http.StatusUnauthorized)
	login(second, http.StatusOK)
	out := run("", "", "list")
	if !regexp.MustCompile(`(?m)^li +李卫国 +officer +yf +may log in +20`).MatchString(out) ||
		!regexp.MustCompile(`(?m)^admin +admin +\(whole district\) +may log in +20`).MatchString(out) {
		t.Errorf("list:\n%s", out)
	}
	out = run("", "user li has the password", "reset", "li")
	m := regexp.MustCompile(`\n    (\S{20,})\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("reset prints no password: %q", out)
	}
	login(m[1], http.StatusOK)
	run("", "user li is disabled", "disable", "li")
	login(m[1], http.StatusUnauthorized)
	run("", "user li may log in again", "enable", "li")
	login(m[1], http.StatusOK)

	who := "host lao-wang: "
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		who = "host " + u.Username + ": "
	}
	want := []string{
		"skein: added admin (admin, whole district)", who + "added li (officer, yf)", who + "new password of li (officer, yf)",
		who + "new password of li (officer, yf)", who + "disabled li (officer, yf)", who + "enabled li (officer, yf)",
	}
	poll(t, "audit rows", 10*time.Second, func() error {
		got := auditRows(t, filepath.Join(n.dir, "data"))
		for i := range got {
			got[i] = strings.TrimSpace(got[i])
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			return fmt.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return nil
	})
	n.stop()
	for _, secret := range []string{first, second, m[1]} {
		if strings.Contains(n.out.String(), secret) {
			t.Error("the gateway's log holds a password")
		}
	}
}

// TestUserRefuses names what a wrong command says. A mistake elsewhere in the configuration, and a secret that is not at
// hand, keep nobody from getting in again.
func TestUserRefuses(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "skein.yaml")
	text := fmt.Sprintf("data_dir: %q\n%saccess: {tokens: [{name: x, token: {env: SKEIN_NOT_SET}, role: admin}]}\nlisten: 5\n",
		filepath.Join(dir, "data"), oneUnit)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "four words in a row"
	for _, c := range []struct{ args, stdin, want string }{
		{"passwd admin", good, "users.json does not exist: skein was not yet started on this data folder, or in another folder"},
		{"list", "", "users.json does not exist"},
		{"add boss --role admin", good, "users.json is new: a start of skein there will create no admin any more"},
		{"add li --role officer --unit nowhere", good, `user li: unknown unit "nowhere": there are yf`},
		{"add li --role officer", good, "user li: unit is missing"},
		{"add li --role chief --unit yf", good, `user li: role "chief": want one of admin, officer, investigator`},
		{"add boss --role admin", good, "user boss: exists already: another password gives \"skein user passwd\""},
		{"add li --role officer --unit yf", "short", "user li: the password has 5 characters: want 10 or more"},
		{"add li --role officer --unit yf", "", "user li: the password has 0 characters"},
		{"passwd zhao", good, "user zhao: is not known: there are boss"},
		{"reset zhao", "", "user zhao: is not known: there are boss"},
		{"disable boss", "", "is the last admin who may log in: nobody could set up anything any more; add another first, or use --force"},
		{"enable boss", "", "user boss is enabled already"},
		{"disable boss --force", "", ""},
		{"reset boss", "", "user boss is disabled: let in again with \"skein user enable\""},
	} {
		out, errs, err := typed(t, c.stdin, bin, append(append([]string{"user"}, strings.Fields(c.args)...), "-c", file)...)
		if !strings.Contains(errs, c.want) || strings.Contains(out+errs, good) {
			t.Errorf("skein user %s: %v, %q, %q\nwant %q", c.args, err, out, errs, c.want)
		}
	}
}

// pty is a terminal and the end at which a person sits.
func pty(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return person, terminal
}

// TestPasswordsAreAskedFor sits at the terminal: the password is asked for twice and never echoed, and Ctrl-C leaves the
// terminal as it was.
func TestPasswordsAreAskedFor(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "skein.yaml")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("data_dir: %q\n%s", dir, oneUnit)), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "four words in a row"
	for _, c := range []struct {
		name, login string
		answers     []string // one for each question
		want        string
		code        int
	}{
		{"twice", "li", []string{good, good}, "user li may log in (officer)", 0},
		{"different", "wang", []string{good, "another four words"}, "the two are different: nothing was changed", 1},
		{"too short", "wang", []string{"short"}, "the password has 5 characters: want 10 or more", 1},
		{"Ctrl-C", "wang", nil, "interrupted: nothing was changed", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			person, terminal := pty(t)
			before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(bin, "user", "add", c.login, "--role", "officer", "--unit", "yf", "--config", file)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			seen := &output{}
			go func() {
				buf := make([]byte, 1024)
				for {
					n, err := person.Read(buf)
					_, _ = seen.Write(buf[:n])
					if err != nil {
						return
					}
				}
			}()
			asked := []string{"New password of " + c.login + ": ", "The same again: "}
			await := func(prompt string) {
				t.Helper()
				poll(t, prompt, 10*time.Second, func() error {
					mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
					if err != nil || !strings.HasSuffix(seen.String(), prompt) || mode.Lflag&unix.ECHO != 0 {
						return fmt.Errorf("not asked yet: %q, %w", seen.String(), err)
					}
					return nil
				})
			}
			for i, a := range c.answers {
				await(asked[i])
				if _, err := person.WriteString(a + "\n"); err != nil {
					t.Fatal(err)
				}
			}
			if c.answers == nil {
				await(asked[0])
				if _, err := person.Write([]byte{3}); err != nil {
					t.Fatal(err)
				}
			}
			if code := exited(cmd.Wait()); code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			poll(t, c.want, 5*time.Second, func() error {
				if !strings.Contains(seen.String(), c.want) {
					return fmt.Errorf("it said %q", seen.String())
				}
				return nil
			})
			for _, a := range c.answers {
				if strings.Contains(seen.String(), a) {
					t.Errorf("a password is shown: %q", seen.String())
				}
			}
			after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err != nil || after.Lflag != before.Lflag {
				t.Errorf("the terminal is left with flags %x, was %x, %v", after.Lflag, before.Lflag, err)
			}
		})
	}
}
