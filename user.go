package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"skein/config"
	accounts "skein/gateway/access"
)

// userCommand changes the people who may log in, also beside a running gateway.
type userCommand struct {
	Add     userAddCommand     `cmd:"" help:"Let somebody log in; asks for a password."`
	Passwd  userPasswdCommand  `cmd:"" help:"Change a password; asks for it."`
	Reset   userResetCommand   `cmd:"" help:"Give somebody a random password and print it, once."`
	Disable userDisableCommand `cmd:"" help:"Lock somebody out; sessions end within a second or two."`
	Enable  userEnableCommand  `cmd:"" help:"Let somebody in again."`
	List    userListCommand    `cmd:"" help:"List who may log in."`
}

// Help is shown by --help.
func (userCommand) Help() string {
	return `A running gateway takes a change over within a second or two and writes it into the audit log, with the name of
who made it; without one, the next start writes it. A password is never an argument: it is asked for without echo,
twice, or read as one line from standard input where that is no terminal.

Roles: admin (sets up), officer (watches), investigator (finds footage), operator (keeps it running), auditor (reads
who did what).`
}

// ofUser names an account.
type ofUser struct {
	withConfig
	Login string `arg:"" name:"login" help:"Name to log in with."`
}

type userAddCommand struct {
	ofUser
	Role string `required:"" help:"admin, officer, investigator, operator or auditor."`
	Unit string `help:"Scope: id of a unit, with everything below it. An admin may have none: the whole district."`
	Name string `help:"The person's own name."`
}

// Run adds the user.
func (c userAddCommand) Run(ctx context.Context) error {
	where, users, isNew, err := c.open()
	if err != nil {
		return err
	}
	if err := where.HasUnit(c.Unit); err != nil {
		return fmt.Errorf("user %s: %w", c.Login, err)
	}
	if slices.ContainsFunc(users.List(), func(a accounts.Account) bool { return a.Name == c.Login }) {
		return fmt.Errorf("user %s: %w: another password gives \"skein user passwd\"", c.Login, accounts.ErrUserExists)
	}
	a := accounts.Account{Name: c.Login, RealName: c.Name, Role: accounts.Role(c.Role), Unit: c.Unit}
	if err := a.Check(); err != nil {
		return err
	}
	password, err := newPassword(ctx, c.Login)
	if err != nil {
		return err
	}
	by, err := whoAmI()
	if err != nil {
		return err
	}
	if isNew != "" {
		fmt.Fprintf(os.Stderr, "%s is new: a start of skein there will create no admin any more\n", isNew)
		if err := os.MkdirAll(filepath.Dir(isNew), 0o750); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	if err := users.Add(ctx, by, a, password); err != nil {
		return err
	}
	return said("user %s may log in (%s)", c.Login, c.Role)
}

type userPasswdCommand struct{ ofUser }

// Run changes the password.
func (c userPasswdCommand) Run(ctx context.Context) error {
	users, by, err := c.existing()
	if err != nil {
		return err
	}
	password, err := newPassword(ctx, c.Login)
	if err != nil {
		return err
	}
	if err := users.SetPassword(ctx, by, c.Login, password); err != nil {
		return err
	}
	return said("user %s has a new password; sessions have ended", c.Login)
}

type userResetCommand struct{ ofUser }

// Run sets and prints a random password.
func (c userResetCommand) Run(ctx context.Context) error {
	users, by, err := c.existing()
	if err != nil {
		return err
	}
	password, err := users.Reset(ctx, by, c.Login)
	if err != nil {
		return err
	}
	for _, a := range users.List() {
		if a.Name == c.Login && a.Disabled {
			fmt.Fprintf(os.Stderr, "user %s is disabled: let in again with \"skein user enable\"\n", c.Login)
		}
	}
	return said("user %s has the password\n\n    %s\n\nIt is shown only this once. Let the user choose another: "+
		"skein user passwd %s", c.Login, password, c.Login)
}

type userDisableCommand struct {
	ofUser
	Force bool `help:"Also the last admin who may log in."`
}

// Run locks the user out.
func (c userDisableCommand) Run() error {
	users, by, err := c.existing()
	if err != nil {
		return err
	}
	err = users.SetDisabled(by, c.Login, true, c.Force)
	if errors.Is(err, accounts.ErrLastAdmin) {
		return fmt.Errorf("%w: nobody could set up anything any more; add another first, or use --force", err)
	}
	if err != nil {
		return err
	}
	return said("user %s is disabled; sessions have ended", c.Login)
}

type userEnableCommand struct{ ofUser }

// Run lets the user in again.
func (c userEnableCommand) Run() error {
	users, by, err := c.existing()
	if err != nil {
		return err
	}
	if err := users.SetDisabled(by, c.Login, false, false); err != nil {
		return err
	}
	return said("user %s may log in again", c.Login)
}

type userListCommand struct{ withConfig }

// Run lists the users.
func (c userListCommand) Run() error {
	users, _, err := c.existing()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "LOGIN\tNAME\tROLE\tUNIT\tSTATE\tPASSWORD SINCE")
	for _, a := range users.List() {
		unit, state := a.Unit, "may log in"
		if unit == "" {
			unit = "(whole district)"
		}
		if a.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.RealName, a.Role, unit, state,
			a.Changed.Local().Format("2006-01-02 15:04"))
	}
	return w.Flush()
}

// open opens the users of the configuration. What else is in the configuration need not be right, nor need its secrets
// be at hand: who has lost a password has trouble enough.
func (w withConfig) open() (where *config.Accounts, users *accounts.Users, isNew string, err error) {
	where, err = config.LoadAccounts(w.Config)
	if err != nil {
		return nil, nil, "", err
	}
	file, err := filepath.Abs(accounts.UsersFile(where.DataDir, where.UsersFile))
	if err != nil {
		return nil, nil, "", err
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		isNew = file
	}
	users, err = accounts.OpenUsers(file)
	return where, users, isNew, err
}

// existing opens the users of an installation that has some, for a change of one.
func (w withConfig) existing() (*accounts.Users, accounts.By, error) {
	_, users, isNew, err := w.open()
	if err != nil {
		return nil, accounts.By{}, err
	}
	if isNew != "" {
		return nil, accounts.By{}, fmt.Errorf("%s does not exist: skein was not yet started on this data folder, or in "+
			"another folder, which data_dir is relative to", isNew)
	}
	by, err := whoAmI()
	return users, by, err
}

// whoAmI is the account of the operating system that runs this, behind sudo whoever called that.
func whoAmI() (accounts.By, error) {
	name := ""
	if os.Geteuid() == 0 {
		name = os.Getenv("SUDO_USER")
	}
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return accounts.By{}, fmt.Errorf("who are you? %w", err)
		}
		name = u.Username
	}
	return accounts.By{Name: name, Kind: accounts.Host}, nil
}

func said(format string, args ...any) error {
	_, err := fmt.Printf(format+"\n", args...)
	return err
}

// newPassword asks for a new password on the terminal, without echo and twice, or reads a line where there is none.
// What is wrong with a password is said before it has to be repeated.
func newPassword(ctx context.Context, login string) (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password from standard input: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	password, err := ask(ctx, fmt.Sprintf("New password of %s: ", login))
	if err != nil {
		return "", err
	}
	if err := accounts.CheckPassword(login, password); err != nil {
		return "", fmt.Errorf("the password %w", err)
	}
	again, err := ask(ctx, "The same again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", errors.New("the two are different: nothing was changed")
	}
	return password, nil
}

// ask reads a line from the terminal without echo. Ctrl-C ends it and leaves the terminal as it was.
func ask(ctx context.Context, prompt string) (string, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for a password: %w", err)
	}
	fmt.Fprint(os.Stderr, prompt)
	type answer struct {
		line []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		read <- answer{line, err}
	}()
	select {
	case a := <-read:
		fmt.Fprintln(os.Stderr)
		if a.err != nil {
			return "", fmt.Errorf("ask for a password: %w", a.err)
		}
		return string(a.line), nil
	case <-ctx.Done(): // the reader ends with the process
		fmt.Fprintln(os.Stderr)
		return "", errors.Join(errors.New("interrupted: nothing was changed"), term.Restore(fd, before))
	}
}
