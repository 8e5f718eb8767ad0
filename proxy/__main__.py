from proxy.entry import main

main()
