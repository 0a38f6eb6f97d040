package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"skein/edge/status"
)

// occupy takes an address until the test ends or free is called.
func occupy(t *testing.T, network, addr string) (free func()) {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return func() { c.Close() }
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

// printedPassword waits for the password that a start prints.
func printedPassword(t *testing.T, p *proc, pattern string) string {
	t.Helper()
	var password string
	poll(t, "a password", 30*time.Second, func() error {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(p.out.String()); m != nil {
			password = m[1]
			return nil
		}
		if p.ended() {
			t.Fatalf("it ended: %v", p.err)
		}
		return fmt.Errorf("not yet printed")
	})
	return password
}

// awaitLogin waits until the password opens a session, and returns its token.
func awaitLogin(t *testing.T, listen, user, password string) string {
	t.Helper()
	var session struct{ Token string }
	poll(t, "login of "+user, 15*time.Second, func() error {
		resp, err := http.Post("http://"+listen+"/v1/login", "application/json",
			strings.NewReader(fmt.Sprintf(`{"user":%q,"password":%q}`, user, password)))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("login: %s", resp.Status)
		}
		return json.NewDecoder(resp.Body).Decode(&session)
	})
	return session.Token
}

// camerasLive counts the cameras whose pictures arrive, as a person sees them.
func camerasLive(listen, token string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+listen+"/v1/cameras", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var list struct{ Cameras []cameraState }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return 0, err
	}
	live := 0
	for _, c := range list.Cameras {
		if c.State == status.Live {
			live++
		}
	}
	return live, nil
}

// TestFailedFirstStartLocksNobodyOut: whatever port is taken at the first start, the next one prints a password, and it
// opens the console. What was taken is named as its owner calls it.
func TestFailedFirstStartLocksNobodyOut(t *testing.T) {
	beside(t, 2, 20*time.Second)
	bin := skeinBinary(t)
	for _, role := range []string{"all", "gateway"} {
		for key, network := range map[string]string{
			"listen": "tcp", "webrtc.udp": "udp", "webrtc.tcp": "tcp", "rtsp.listen": "tcp", "metrics.listen": "tcp",
		} {
			t.Run(role+" "+key, func(t *testing.T) {
				n := newNode(t, role)
				at := map[string]string{
					"listen": n.http, "webrtc.udp": freePort(t), "webrtc.tcp": freePort(t), "rtsp.listen": freePort(t),
					"metrics.listen": freePort(t),
				}
				text := fmt.Sprintf("data_dir: %q\nlisten: %q\nwebrtc: {udp: %q, tcp: %q}\nrtsp: {listen: %q}\n"+
					"metrics: {listen: %q}\n%s", filepath.Join(n.dir, "data"), n.http, at["webrtc.udp"], at["webrtc.tcp"],
					at["rtsp.listen"], at["metrics.listen"], oneUnit)
				if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				free := occupy(t, network, at[key])
				_, errs, err := command(t, bin, role, "--config", n.file)
				want := key + " " + at[key] + " is in use by another program\nstop the other program, or choose another address in " +
					n.file
				if exited(err) != 1 || !strings.Contains(errs, want) {
					t.Errorf("exit %d, %q, want %q", exited(err), errs, want)
				}
				free()
				n.start(t)
				password := printedPassword(t, n.proc, `with the password\n\n +(\S+)\n`)
				awaitLogin(t, n.http, "admin", password)
				n.stop()
				n.start(t)
				n.stop()
				if strings.Contains(n.out.String(), "password") {
					t.Errorf("a second start speaks of a password:\n%s", n.out.String())
				}
			})
		}
	}
}

// demoArgs are the flags of a demonstration beside others.
func demoArgs(t *testing.T, dir string) (args []string, at map[string]string) {
	t.Helper()
	at = map[string]string{}
	args = []string{"demo", "--data", dir}
	for _, flag := range []string{"--listen", "--webrtc", "--rtsp", "--sim"} {
		at[flag] = freePort(t)
		args = append(args, flag, at[flag])
	}
	return args, at
}

// TestDemoStartsAgain: a demonstration whose ports are taken names them all with their flags and a command that works,
// and the next start prints a password that is good. A second one in the same folder is refused and changes nothing.
func TestDemoStartsAgain(t *testing.T) {
	beside(t, 3, 25*time.Second)
	bin := skeinBinary(t)
	dir := filepath.Join(t.TempDir(), "data")
	args, at := demoArgs(t, dir)
	frees := []func(){
		occupy(t, "tcp", at["--listen"]), occupy(t, "udp", at["--webrtc"]), occupy(t, "tcp", at["--rtsp"]),
		occupy(t, "tcp", at["--sim"]),
	}
	_, errs, err := command(t, bin, args...)
	if exited(err) != 1 {
		t.Errorf("exit %d", exited(err))
	}
	for flag, addr := range at {
		if !strings.Contains(errs, flag+" "+addr+" is in use by another program\n") {
			t.Errorf("%s is not named in %q", flag, errs)
		}
	}
	if m := regexp.MustCompile(`start with: skein demo (.*)   \(make demo DEMO_ARGS="(.*)"\)`).FindStringSubmatch(errs); m == nil ||
		m[1] != m[2] || strings.Count(m[1], "--") != 4 {
		t.Errorf("no command to try in %q", errs)
	}
	for _, free := range frees {
		free()
	}
	p := launch(t, "demo", bin, args...)
	password := printedPassword(t, p, `password +(\S+)\n`)
	token := awaitLogin(t, at["--listen"], "admin", password)

	// a second one in the same folder
	before := demoFiles(t, dir)
	second, _ := demoArgs(t, dir)
	_, errs, err = command(t, bin, second...)
	if exited(err) != 1 || !strings.Contains(errs, "data folder "+dir+" is in use by process ") ||
		!strings.Contains(errs, "--data "+dir+"-2") {
		t.Errorf("a second demonstration in the same folder: exit %d, %q", exited(err), errs)
	}
	if after := demoFiles(t, dir); after != before {
		t.Errorf("the second demonstration changed the files of the first:\n%s\n%s", before, after)
	}
	// so is a real start there
	_, errs, err = command(t, bin, "all", "--config", filepath.Join(dir, "skein.yaml"))
	if exited(err) != 1 || !strings.Contains(errs, "data folder "+dir+" is in use by process ") {
		t.Errorf("skein all in the demonstration's folder: exit %d, %q", exited(err), errs)
	}
	// the first goes on: its file's reload is due every two seconds
	poll(t, "cameras live", 40*time.Second, func() error {
		if live, err := camerasLive(at["--listen"], token); err != nil || live < 60 {
			return fmt.Errorf("%d cameras live, %w", live, err)
		}
		return nil
	})
	p.stop()

	p = launch(t, "demo", bin, args...)
	if again := printedPassword(t, p, `password +(\S+)\n`); again != password {
		t.Errorf("the second start prints %q, the first %q", again, password)
	}
	p.stop()
	// where the password is not known it says so, instead of nothing
	if err := os.Remove(filepath.Join(dir, "admin-password")); err != nil {
		t.Fatal(err)
	}
	p = launch(t, "demo", bin, args...)
	poll(t, "banner", 30*time.Second, func() error {
		if !strings.Contains(p.out.String(), "skein user reset admin --config "+filepath.Join(dir, "skein.yaml")) {
			return fmt.Errorf("no help with the password")
		}
		return nil
	})
	p.stop()
	if regexp.MustCompile(`password *\n`).MatchString(p.out.String()) {
		t.Errorf("it prints an empty password:\n%s", p.out.String())
	}
}

// demoFiles tells when the configuration of a demonstration was written.
func demoFiles(t *testing.T, dir string) string {
	t.Helper()
	var all []string
	for _, name := range []string{"skein.yaml", "yanfeng.yaml", "users.json"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %v %d", name, st.ModTime(), st.Size()))
	}
	return strings.Join(all, "\n")
}

// TestHelp: who asks for nothing is told what there is, and the version is found where people look for it.
func TestHelp(t *testing.T) {
	t.Parallel()
	bin := skeinBinary(t)
	taken := freePort(t)
	occupy(t, "tcp", taken)
	for _, c := range []struct {
		args      string
		code      int
		out, errs string
	}{
		{"", 2, "", "Begin with \"skein demo\""},
		{"--help", 0, "Exit code: 0 in order, 1 a mistake or a failure, 2 wrong usage", ""},
		{"--version", 0, "\n", ""},
		{"version", 0, "\n", ""},
		{"user", 2, "", "expected one of \"add\""},
		{"user", 2, "", "see: skein user --help"},
		{"user --help", 0, "A password is never an argument", ""},
		{"user --help", 0, "officer (watches)", ""},
		{"config check --help", 0, "Exit code: 0 good, also with warnings; 1 a mistake.", ""},
		{"verify --help", 0, "Asia/Shanghai", ""},
		{"fly", 2, "", "see: skein --help"},
		{"all", 2, "", "missing flags: --config"},
		{"sim --listen " + taken, 1, "", "--listen " + taken + " is in use by another program\nstop the other program, or start with: skein sim --listen 127.0.0.1:"},
	} {
		out, errs, err := command(t, bin, strings.Fields(c.args)...)
		if exited(err) != c.code || !strings.Contains(strings.Join(strings.Fields(out), " ")+"\n", strings.TrimSpace(c.out)) ||
			!strings.Contains(errs, c.errs) || (c.errs == "") != (errs == "") {
			t.Errorf("skein %s: exit %d, %q, %q\nwant %d, %q, %q", c.args, exited(err), out, errs, c.code, c.out, c.errs)
		}
	}
}
