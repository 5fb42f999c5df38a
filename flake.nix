# The same versions as everywhere: uv2nix makes Nix packages of what uv.lock names, from the locked wheels.
#
#     nix develop     a shell with Python, every dependency group and uv; there is no .venv
#     nix run         the app from the Nix store, its data in ~/.local/share/kindling
#     nix flake check imports and quick tests, each in a sandbox
{
  description = "A local-first full-stack starter: FastHTML, htmx 4, Uvicorn and one SQLite file";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    pyproject-nix = {
      url = "github:pyproject-nix/pyproject.nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    uv2nix = {
      url = "github:pyproject-nix/uv2nix";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.pyproject-nix.follows = "pyproject-nix";
    };
    # What builds a dependency that has no wheel. None needs it today.
    pyproject-build-systems = {
      url = "github:pyproject-nix/build-system-pkgs";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.pyproject-nix.follows = "pyproject-nix";
      inputs.uv2nix.follows = "uv2nix";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      pyproject-nix,
      uv2nix,
      pyproject-build-systems,
    }:
    let
      inherit (nixpkgs) lib;
      inherit (builtins.fromTOML (builtins.readFile ./pyproject.toml)) project;
      workspace = uv2nix.lib.workspace.loadWorkspace { workspaceRoot = ./.; };

      # What `nix run` needs of the project; an edit elsewhere builds nothing anew.
      source = lib.fileset.toSource {
        root = ./.;
        fileset = lib.fileset.unions [
          ./app
          ./pyproject.toml
          ./server
          ./server.py
          ./static
          ./templates
        ];
      };

      # The attributes of each system, from its parts.
      forAllSystems =
        attributes:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] (
          system: attributes (partsFor nixpkgs.legacyPackages.${system})
        );

      partsFor =
        pkgs:
        let
          base = pkgs.callPackage pyproject-nix.build.packages { python = pkgs.python313; };
          pythonSet = base.overrideScope (
            lib.composeManyExtensions [
              pyproject-build-systems.overlays.wheel
              (workspace.mkPyprojectOverlay { sourcePreference = "wheel"; })
            ]
          );
          runs = pythonSet.mkVirtualEnv "${project.name}-env" workspace.deps.default;
          develops = pythonSet.mkVirtualEnv "${project.name}-dev-env" workspace.deps.all;

          # Compiled here, as Python cannot keep what it compiles in the store. The store has no times to compare.
          code = pkgs.runCommand "${project.name}-code" { } ''
            cp -r --no-preserve=mode ${source} $out
            ${runs}/bin/python -m compileall -q --invalidation-mode unchecked-hash $out
          '';

          program = pkgs.writeShellApplication {
            inherit (project) name;
            text = ''
              export KINDLING_DATA="''${KINDLING_DATA:-''${XDG_DATA_HOME:-$HOME/.local/share}/${project.name}}"
              export KINDLING_RELOAD=0 # what lies in the store never changes
              exec ${runs}/bin/python ${code}/server.py "$@"
            '';
            meta = { inherit (project) description; };
          };
        in
        {
          inherit pkgs runs develops code program;
        };
    in
    {
      devShells = forAllSystems (
        { pkgs, develops, ... }:
        {
          default = pkgs.mkShell {
            packages = [
              develops
              pkgs.uv
            ];
            env = {
              # uv locks and runs; only Nix installs.
              UV_NO_SYNC = "1";
              UV_PROJECT_ENVIRONMENT = "${develops}";
              UV_PYTHON_DOWNLOADS = "never";
            };
            shellHook = ''
              unset PYTHONPATH VIRTUAL_ENV
            '';
          };
        }
      );

      packages = forAllSystems ({ program, ... }: { default = program; });

      apps = forAllSystems (
        { program, ... }:
        {
          default = {
            type = "app";
            program = "${program}/bin/${project.name}";
            meta = { inherit (project) description; };
          };
        }
      );

      checks = forAllSystems (
        {
          pkgs,
          runs,
          develops,
          code,
          ...
        }:
        {
          imports = pkgs.runCommand "${project.name}-imports" { } ''
            cd ${code}
            KINDLING_DATA=$TMPDIR/data ${runs}/bin/python -c "import app.main, server.cli, server.run"
            touch $out
          '';

          # Without those that need what no sandbox has: a package registry, a browser, Nix.
          tests = pkgs.runCommand "${project.name}-tests" { __darwinAllowLocalNetworking = true; } ''
            cp -r ${self} project
            chmod -R u+w project
            cd project
            export HOME=$TMPDIR PATH=${develops}/bin:$PATH
            python -m pytest tests/engine/app tests/engine/server tests/engine/templates
            touch $out
          '';
        }
      );

      formatter = forAllSystems ({ pkgs, ... }: pkgs.nixfmt-tree);

      templates.default = {
        path = ./.;
        inherit (project) description;
      };
    };
}
