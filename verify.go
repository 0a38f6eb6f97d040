package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // zones also where the system has none

	"skein/config"
	"skein/recorder/evidence"
	"skein/recorder/segment"
	"skein/recorder/store"
)

// verifyCommand proves footage: a day of a camera in the archive, or downloaded files without the archive.
type verifyCommand struct {
	Files      []string `arg:"" optional:"" name:"file" help:"Segments (*.mp4, each with its *.mp4.json), or folders."`
	Config     string   `short:"c" type:"path" help:"Configuration of the archive to look into, with --camera and --day."`
	Camera     string   `help:"Camera to prove."`
	Day        string   `help:"Day to prove, from midnight to midnight in --zone: 2026-11-23."`
	Zone       string   `default:"Asia/Shanghai" help:"Time zone of the day and of the times told: UTC or a name."`
	Checkpoint []string `help:"Signed checkpoints for files: documents or folders."`
	Key        string   `help:"Public key of the checkpoints, 64 hexadecimal digits or a file; default: the archive's."`
	Quick      bool     `help:"Compare manifests only; do not read the archive's footage."`
	JSON       bool     `help:"Print the report as JSON."`
}

// verifyHelp is what kong shows below the flags.
const verifyHelp = `Exit code: 0 every link holds; 1 one does not, the first is named; 2 it could not be found out.`

// Help is shown by --help.
func (verifyCommand) Help() string { return verifyHelp }

// Run verifies. Exit code 0: everything holds; 1: a link is broken; 2: it could not be found out.
func (c verifyCommand) Run(ctx context.Context) error {
	broken, err := c.verify(ctx)
	switch {
	case err != nil:
		return exitCode{2, fmt.Errorf("verify: %w", err)}
	case broken != nil:
		return exitCode{1, fmt.Errorf("broken: %w", broken)}
	}
	return nil
}

func (c verifyCommand) verify(ctx context.Context) (*evidence.Broken, error) {
	switch {
	case c.Config != "" && len(c.Files) == 0 && len(c.Checkpoint) == 0:
		return c.archive(ctx)
	case c.Config == "" && len(c.Files) > 0 && c.Camera == "" && c.Day == "":
		return c.files()
	}
	return nil, errors.New("want either --config, --camera and --day, or files, with --checkpoint and --key")
}

// archive proves a day of a camera in the configured archive.
func (c verifyCommand) archive(ctx context.Context) (*evidence.Broken, error) {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "" {
		return nil, fmt.Errorf("--zone %q: want UTC or a name such as Asia/Shanghai", c.Zone)
	}
	day, err := time.ParseInLocation(time.DateOnly, c.Day, zone)
	if err != nil || c.Camera == "" {
		return nil, errors.New("--config needs --camera and --day, such as --day 2026-11-23")
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil, err
	}
	trusted, err := c.trusted(cfg)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(cfg.Store, store.Options{})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	within := segment.Range{From: day.UTC(), To: day.AddDate(0, 0, 1).UTC()}
	r, err := evidence.VerifyCamera(ctx, st, st, c.Camera, within, evidence.Options{Content: !c.Quick, Trusted: trusted})
	if err != nil {
		return nil, err
	}
	if r.Segments+r.Deleted+len(r.GivenUp) == 0 && r.Broken == nil {
		return nil, fmt.Errorf("camera %s has no segment on %s (%s, %s to %s UTC): there is nothing to prove", c.Camera,
			c.Day, c.Zone, within.From.Format(minutes), within.To.Format(minutes))
	}
	if err := c.print(r, "camera %s, %s (%s): %d segments, %d deleted by rule, %d bytes read, %s\n%s", c.Camera, c.Day,
		c.Zone, r.Segments, r.Deleted, r.Bytes, named(trusted, r.Checkpoints), listed(r.GivenUp, zone)); err != nil {
		return nil, err
	}
	if r.Broken != nil {
		r.Broken.Start = r.Broken.Start.In(zone)
	}
	return r.Broken, nil
}

const minutes = "2006-01-02 15:04"

// files proves downloaded files.
func (c verifyCommand) files() (*evidence.Broken, error) {
	trusted, err := c.trusted(nil)
	if err != nil {
		return nil, err
	}
	r, err := evidence.VerifyFiles(evidence.Files{Footage: c.Files, Checkpoints: c.Checkpoint, Trusted: trusted})
	if err != nil {
		return nil, err
	}
	return r.Broken, c.print(r, "%s: %d segments, %d deleted by rule, %d bytes read, %d checkpoints read, %s\n%s",
		strings.Join(r.Cameras, ", "), r.Segments, r.Deleted, r.Bytes, r.Checkpoints, named(trusted, r.Named),
		listed(r.GivenUp, time.UTC))
}

// listed names each run of segments that never came, one a line, with times in the zone.
func listed(list []evidence.GivenUp, zone *time.Location) string {
	var b strings.Builder
	for _, g := range list {
		g.From, g.To = g.From.In(zone), g.To.In(zone)
		fmt.Fprintln(&b, g)
	}
	return b.String()
}

func named(trusted ed25519.PublicKey, n int) string {
	if trusted == nil {
		return "checkpoints not compared: no --key"
	}
	return fmt.Sprintf("named by %d checkpoints", n)
}

// trusted returns the public key to trust: the one given, else the archive's own if its key is here, else nil.
func (c verifyCommand) trusted(cfg *config.Config) (ed25519.PublicKey, error) {
	if c.Key != "" {
		return evidence.ParsePublic(c.Key)
	}
	if cfg == nil {
		return nil, nil
	}
	if _, err := os.Stat(keyFile(cfg)); err != nil {
		return nil, nil //nolint:nilerr // no key here: what can be proved without one is proved
	}
	key, _, err := evidence.OpenKey(keyFile(cfg))
	if err != nil {
		return nil, err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return public, nil
}

func (c verifyCommand) print(report any, format string, args ...any) error {
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	_, err := fmt.Printf(format, args...)
	return err
}
